// The latents: a slider for each, above the row of what is decoded while it moves from end to end.

import { find, fixed, make, percent, written } from "./elements.js";
import { replaced, steps } from "./latents.js";

const STEPS = 9;
const OPEN = 16; // latents that are not folded away
const KEYS = 120; // presses of an arrow key from end to end

const MEASURES = {
  nats: {
    told: "Ordered by what each tells of x: its mean divergence KL(q(z|x) ‖ N(0, 1)) over the test split, in nats.",
    written: (value) => `${written(value)} nats`,
  },
  share: {
    told:
      "The encoder is deterministic, so that no latent has a divergence from the prior: " +
      "ordered by each one’s share of the variance of the test split’s codes.",
    written: percent,
  },
};

export class Sliders {
  // `onMove` is told which latent has moved, and to what value.
  constructor(facts, painter, onMove) {
    Object.assign(this, { facts, painter });
    this.measure = MEASURES[facts.measure];
    this.rows = facts.order.map((index) => this.row(index, onMove));
    this.seen = new Set();
    const observer = new IntersectionObserver((entries) => this.notice(entries), { rootMargin: "100px" });
    for (const { element } of this.rows) observer.observe(element);
    this.place();
    find("measure").textContent =
      `${this.measure.told} The row of each is what is decoded while it alone moves, ` +
      "from three standard deviations below its mean to three above.";
  }

  row(index, onMove) {
    const { center, reach, information } = this.facts;
    const [low, high] = [center[index] - reach[index], center[index] + reach[index]];
    const id = `latent-${index}`;
    const input = make("input", { type: "range", id, min: low, max: high, step: (high - low) / KEYS });
    const output = make("output", { htmlFor: id });
    const strip = make("canvas", { className: "strip", "aria-hidden": "true" });
    const told = make("small", {}, this.measure.written(information[index]));
    strip.style.aspectRatio = (STEPS * this.painter.width) / this.painter.height;
    const bar = make("span", { className: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", information[index] / (Math.max(...information) || 1));
    const label = make("label", { htmlFor: id }, `latent ${index} `, told);
    const track = make("div", { className: "track" }, strip, input);
    const element = make("div", { className: "latent" }, label, output, bar, track);
    input.addEventListener("input", () => onMove(index, Number(input.value)));
    return { index, element, input, output, strip, values: steps(low, high, STEPS), dirty: true };
  }

  place() {
    const elements = this.rows.map((row) => row.element);
    find("sliders").append(...elements.slice(0, OPEN));
    const rest = find("rest");
    rest.hidden = elements.length <= OPEN;
    rest.querySelector("summary").textContent = `The other ${elements.length - OPEN}`;
    rest.querySelector("div").append(...elements.slice(OPEN));
  }

  notice(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.rows.find(({ element }) => element === target);
      if (isIntersecting) this.seen.add(row);
      else this.seen.delete(row);
    }
    this.onNotice?.();
  }

  // The values of a latent; `moved` is the slider that is where it belongs, since a hand moved it.
  show(z, moved) {
    for (const { index, input, output } of this.rows) {
      if (index !== moved) input.value = z[index];
      output.textContent = fixed(z[index]);
      input.setAttribute("aria-valuetext", fixed(z[index]));
    }
    for (const row of this.rows) row.dirty ||= row.index !== moved;
  }

  // Draw the strips in sight that are no longer true of z, until `interrupted`.
  async refresh(z, decode, interrupted) {
    for (const row of this.rows.filter((row) => row.dirty && this.seen.has(row))) {
      const decoded = await decode(row.values.map((value) => replaced(z, row.index, value)));
      if (interrupted()) return;
      this.painter.strip(row.strip, decoded);
      row.dirty = false;
      await new Promise((resume) => setTimeout(resume)); // a hand may be waiting
    }
  }
}
