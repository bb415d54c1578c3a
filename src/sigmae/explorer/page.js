// The page: one latent is shown; every panel can replace it, and follows when another did.

import { tensors, unpacked } from "./arrays.js";
import { startDecoder } from "./decoder.js";
import { counted, find, fixed, make, option, select, written } from "./elements.js";
import { axis, draws, Plane } from "./latents.js";
import { LatentMap } from "./map.js";
import { Gallery, Interpolation, Neighbours, Samples } from "./panels.js";
import { Painter, squaredError } from "./pictures.js";
import { Sliders } from "./sliders.js";

const REST = 120; // milliseconds without a move, after which the rest of the page follows

class Explorer {
  constructor(facts, held, decode) {
    Object.assign(this, { facts, held, decode, round: 0, version: 0, painting: null });
    this.painter = new Painter(facts.shape, facts.range);
    this.densities = grouped(held);
    this.mean = Float32Array.from(facts.latents.center);
    this.sliders = new Sliders(facts.latents, this.painter, (index, value) => this.slide(index, value));
    this.neighbours = new Neighbours(facts, this.painter, held.train);
    this.samples = new Samples(facts, this.painter, this.densities, decode, (z, told, sample) =>
      this.show(z, told, { sample }),
    );
    this.interpolation = new Interpolation(facts, this.painter, held, decode, {
      shown: () => this.test,
      onMove: (z, told) => this.show(z, told),
    });
    this.gallery = new Gallery(this.painter, held.test, (index) => this.named(index), (index) => this.choose(index));
    this.map = facts.plane ? this.makeMap() : find("mapped").remove();
    find("reset").addEventListener("click", () => this.show(this.mean, "The mean of the test split’s codes."));
    this.sliders.onNotice = () => this.settleLater();
  }

  named(index) {
    const label = this.facts.labels?.names[this.held.labels.data[index]];
    return `Test ${this.facts.noun} ${index}${label === undefined ? "" : ` (${label})`}`;
  }

  choose(index) {
    this.show(this.held.codes.row(index), `${this.named(index)}.`, { test: index });
  }

  slide(index, value) {
    const z = this.z.slice();
    z[index] = value;
    const origin = this.test === null ? "L" : `${this.named(this.test)}, with l`;
    this.show(z, `${origin}atent ${index} at ${fixed(value)}.`, { test: this.test, moved: index });
  }

  // Show a latent. `test` is the example that it came from, `moved` the slider, `sample` the draw.
  show(z, told, { test = null, moved = null, sample = null } = {}) {
    Object.assign(this, { z: Float32Array.from(z), told, test });
    this.version += 1;
    this.sliders.show(this.z, moved);
    this.map?.moveRing(this.plane.place(this.z));
    this.gallery.show(moved === null ? test : null);
    select(find("drawn"), sample ?? -1);
    this.painting ??= this.paint();
    this.settleLater();
  }

  // Decode what is shown, and again if by then it is another.
  async paint() {
    let version;
    do {
      version = this.version;
      const begun = performance.now();
      [this.values] = await this.decode([this.z]);
      this.milliseconds = performance.now() - begun;
      this.painter.draw(find("picture"), this.values);
    } while (version !== this.version);
    this.painting = null;
  }

  settleLater() {
    find("explorer").setAttribute("aria-busy", "true");
    this.round += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(this.round), REST);
  }

  // What a hand that moves need not wait for: words, neighbours, strips.
  async settle(round) {
    const interrupted = () => round !== this.round;
    await this.painting;
    if (interrupted()) return;
    this.tell();
    this.neighbours.show(this.values);
    await this.sliders.refresh(this.z, this.decode, interrupted);
    if (!interrupted()) find("explorer").setAttribute("aria-busy", "false");
  }

  tell() {
    const original = find("original");
    original.hidden = this.test === null;
    let error = "";
    if (this.test !== null) {
      const row = this.held.test.row(this.test);
      this.painter.draw(original.querySelector("canvas"), row);
      error = ` Squared error ${written(squaredError(this.painter.clipped(this.values), row))}.`;
    }
    find("told").textContent = this.told + error;
    find("speed").textContent = `What is shown was decoded in ${written(this.milliseconds)} ms.`;
  }

  makeMap() {
    const { labels } = this.facts;
    const colours = labels?.colours.length ? Array.from(this.held.labels.data, (label) => labels.colours[label]) : [];
    const map = new LatentMap(find("map"), this.painter.sheet(this.held.test), colours, {
      onMove: (place) => this.show(this.plane.moved(this.z, place), "A point of the map."),
      onPick: (index) => this.choose(index),
    });
    if (colours.length) this.explain(labels);
    for (const id of ["across", "up"]) {
      find(id).append(...this.facts.latents.order.map((index) => option(index, `latent ${index}`)));
      find(id).addEventListener("change", () => this.layMap(id));
    }
    find("up").selectedIndex = 1;
    find("plane").addEventListener("change", () => this.layMap());
    find("points").addEventListener("change", (event) => {
      map.pictures = event.target.value === "pictures";
      map.draw();
    });
    find("click").addEventListener("change", (event) => (map.picks = event.target.value === "pick"));
    find("in").addEventListener("click", () => map.zoom(1.5));
    find("out").addEventListener("click", () => map.zoom(1 / 1.5));
    find("fit").addEventListener("click", () => map.fit());
    return map;
  }

  explain({ names, colours }) {
    const swatch = (colour) => {
      const mark = make("span", { className: "swatch" });
      mark.style.backgroundColor = colour;
      return mark;
    };
    find("legend").append(...names.map((name, label) => make("li", {}, swatch(colours[label]), name)));
    find("legend").hidden = false;
  }

  // Lay the map's plane anew; of two equal axes the one that was not just chosen gives way.
  layMap(changed = "across") {
    const latents = find("plane").value === "latents";
    document.querySelectorAll("#mapped .axis").forEach((label) => (label.hidden = !latents));
    const other = find(changed === "across" ? "up" : "across");
    if (other.value === find(changed).value) other.selectedIndex = find(changed).selectedIndex === 0 ? 1 : 0;
    const axes = ["across", "up"].map((id) => Number(find(id).value));
    const size = this.mean.length;
    this.plane = latents
      ? new Plane(new Float32Array(size), ...axes.map((index) => axis(size, index)))
      : new Plane(this.mean, this.held.directions.row(0), this.held.directions.row(1));
    const [first, second] = this.facts.plane.shares.map((share) => `${Math.round(100 * share)}\u00a0%`);
    find("axes").textContent = latents
      ? `Across: latent ${axes[0]}. Up: latent ${axes[1]}. What is decoded keeps all other latents.`
      : `Across: the principal direction of the codes, with ${first} of their variance. ` +
        `Up: the second, with ${second}. What is decoded keeps what lies outside of this plane.`;
    const { codes } = this.held;
    const points = Array.from({ length: codes.length }, (_, index) => this.plane.place(codes.row(index)));
    this.map.show(points, this.z ? this.plane.place(this.z) : [0, 0]);
  }

  open() {
    const { facts, held } = this;
    const latents = this.mean.length === 1 ? "1 latent" : `${counted(this.mean.length)} latents`;
    const shown = `${counted(held.codes.length)} of ${counted(facts.counts.test)} test ${facts.noun}s`;
    find("summary").textContent =
      `${latents}; ${shown}. Whatever is moved is decoded here: the page loads nothing and sends nothing.`;
    find("starting").remove();
    find("explorer").hidden = false;
    if (this.map) this.layMap();
    this.choose(0);
    this.samples.draw();
    this.interpolation.draw();
  }
}

// The tensors of each density by their own names: "gmm10/mean" is the mean of gmm10.
function grouped(held) {
  const groups = {};
  for (const [name, tensor] of Object.entries(held)) {
    const [density, part] = name.split("/");
    if (part) (groups[density] ??= {})[part] = tensor;
  }
  return groups;
}

async function start() {
  const facts = JSON.parse(find("facts").textContent);
  const [module, wasm, network, packed] = await Promise.all(["module", "wasm", "decoder", "tensors"].map(unpacked));
  const decode = await startDecoder(module, wasm, network);
  await decode([facts.latents.center]); // the first call takes longer than all others
  const explorer = new Explorer(facts, tensors(packed), decode);
  explorer.open();
  // For the browser's console.
  window.explorer = {
    decode: explorer.decode,
    draw: (density, count, seed = 0) => draws(explorer.densities[density], count, seed),
    show: (z) => explorer.show(z, "A latent from the console."),
    get latent() {
      return explorer.z;
    },
    get milliseconds() {
      return explorer.milliseconds;
    },
  };
}

start().catch((error) => {
  find("starting").textContent = `The decoder cannot be started in this browser. ${error.message}`;
  throw error;
});
