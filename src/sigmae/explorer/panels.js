// The panels beside the latents: neighbours, samples, interpolation, test examples.

import { counted, fillList, find, fixed, followArrows, make, option, select, tile, written } from "./elements.js";
import { draws, slerp, steps } from "./latents.js";
import { nearest } from "./pictures.js";

const NEAREST = 6;
const DRAWN = 12;
const TIMES = 9;
const GALLERY = 60;

export class Neighbours {
  constructor(facts, painter, train) {
    Object.assign(this, { painter, train, noun: facts.noun });
    const share = `${counted(train.length)} of ${counted(facts.counts.train)}`;
    find("compared").textContent = `Squared error to each, of ${share} training ${facts.noun}s.`;
  }

  show(values) {
    const found = nearest(this.painter.clipped(values), this.train, NEAREST);
    find("nearest").replaceChildren(...found.map((neighbour) => this.item(neighbour)));
  }

  item({ index, error }) {
    const canvas = make("canvas", { role: "img", "aria-label": `Training ${this.noun} ${index}` });
    this.painter.draw(canvas, this.train.row(index));
    return make("li", {}, canvas, make("small", {}, written(error)));
  }
}

export class Samples {
  // `onChoose` is told of a latent, of words for it, and of its number among the samples.
  constructor(facts, painter, densities, decode, onChoose) {
    Object.assign(this, { painter, densities, decode, onChoose, seed: 0 });
    this.titles = Object.fromEntries(facts.densities.map(({ name, title }) => [name, title]));
    find("density").append(...facts.densities.map(({ name }) => option(name, name)));
    find("density").value = facts.density;
    find("density").addEventListener("change", () => this.draw());
    find("draw").addEventListener("click", () => this.draw(this.seed + 1));
    followArrows(find("drawn"));
  }

  async draw(seed = this.seed) {
    this.seed = seed;
    const name = find("density").value;
    const [density, list] = [this.densities[name], find("drawn")];
    list.setAttribute("aria-busy", "true");
    const latents = draws(density, DRAWN, seed);
    const decoded = await this.decode(latents);
    if (seed !== this.seed || name !== find("density").value) return;
    const tiles = decoded.map((values, index) =>
      tile(this.painter, values, `Sample ${index + 1}`, () =>
        this.onChoose(latents[index], `Sample ${index + 1} of ${name}.`, index),
      ),
    );
    fillList(list, tiles);
    find("drawing").textContent = `Latents drawn from ${this.titles[name]}${this.origin(density)}, decoded.`;
    list.setAttribute("aria-busy", "false");
  }

  origin(density) {
    if (!density.draws) return "";
    return ` (too large for this page, which has ${counted(density.draws.length)} draws of it and shows them in turn)`;
  }
}

export class Interpolation {
  // `shown` gives the number of the test example that is shown, or null.
  constructor(facts, painter, { test, codes }, decode, { shown, onMove }) {
    Object.assign(this, { noun: facts.noun, painter, tests: test, codes, decode, onMove });
    this.ends = [0, Math.min(1, codes.length - 1)];
    this.canvases = ["from", "to"].map((id, which) => this.end(find(id), which, shown));
    find("time").addEventListener("input", () => this.move(Number(find("time").value)));
  }

  end(place, which, shown) {
    const title = which ? "To" : "From";
    const canvas = make("canvas", { "aria-hidden": "true" });
    const input = make("input", { type: "number", min: 0, max: this.codes.length - 1, value: this.ends[which] });
    const button = make("button", {}, "Take the shown one");
    const set = (index) => {
      if (!(index >= 0 && index < this.codes.length)) return;
      this.ends[which] = index;
      input.value = index;
      this.draw();
    };
    input.addEventListener("change", () => set(Math.round(Number(input.value))));
    button.addEventListener("click", () => shown() !== null && set(shown()));
    place.append(canvas, make("div", {}, make("label", {}, `${title} test ${this.noun} `, input), button));
    return canvas;
  }

  latent(time) {
    const [start, end] = this.ends.map((index) => this.codes.row(index));
    return slerp(start, end, time);
  }

  move(time) {
    const told = `Between test ${this.noun}s ${this.ends.join(" and ")}, at ${fixed(time)}.`;
    find("time").setAttribute("aria-valuetext", told);
    this.onMove(this.latent(time), told);
  }

  async draw() {
    const path = find("path");
    path.parentElement.setAttribute("aria-busy", "true");
    this.canvases.forEach((canvas, which) => this.painter.draw(canvas, this.tests.row(this.ends[which])));
    const ends = this.ends.join();
    const decoded = await this.decode(steps(0, 1, TIMES).map((time) => this.latent(time)));
    if (ends !== this.ends.join()) return;
    this.painter.strip(path, decoded);
    path.parentElement.setAttribute("aria-busy", "false");
  }
}

export class Gallery {
  constructor(painter, tests, named, onChoose) {
    const list = find("gallery");
    const count = Math.min(GALLERY, tests.length);
    const item = (_, index) => tile(painter, tests.row(index), named(index), () => onChoose(index));
    fillList(list, Array.from({ length: count }, item));
    followArrows(list);
    const number = find("number");
    number.max = tests.length - 1;
    number.addEventListener("change", () => {
      const index = Math.round(Number(number.value));
      if (index >= 0 && index < tests.length) onChoose(index);
    });
  }

  show(index) {
    select(find("gallery"), index ?? -1);
    if (index !== null) find("number").value = index;
  }
}
