// The map: points of a plane as pictures or dots, and a ring where the latent is that is shown.

const PICTURE = 30; // CSS pixels of a picture's longer side
const DOT = 3.5;
const RING = 9;
const GRIP = 22; // how near to the ring a finger takes hold of it
const STILL = 5; // CSS pixels that a click may wander
const KEY = 1 / 40; // of the map's width, an arrow key's step
const ZOOM = 1.25;
const MARGIN = 1.12;

export class LatentMap {
  // `sheet` has a picture of every point; `colours` one colour each, or is empty. `onMove` is told of coordinates
  // that shall be shown, `onPick` of the number of a point.
  constructor(canvas, sheet, colours, { onMove, onPick }) {
    Object.assign(this, { canvas, sheet, colours, onMove, onPick });
    this.points = [];
    this.ring = [0, 0];
    this.view = { x: 0, y: 0, scale: 1 };
    this.pictures = true;
    this.picks = false;
    this.pointers = new Map();
    this.held = null;
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.listen();
  }

  show(points, ring) {
    this.points = points;
    this.ring = ring;
    this.fit();
  }

  moveRing(place) {
    this.ring = place;
    this.draw();
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const size = [clientWidth * devicePixelRatio, clientHeight * devicePixelRatio].map(Math.round);
    const unfitted = this.canvas.width === 0 || this.size === undefined;
    const scale = unfitted ? 1 : clientWidth / this.size[0];
    this.size = [clientWidth, clientHeight];
    [this.canvas.width, this.canvas.height] = size;
    this.view.scale *= scale;
    if (unfitted) this.fit();
    else this.draw();
  }

  fit() {
    if (!this.size || !this.points.length) return;
    const ends = [0, 1].map((k) => {
      const values = this.points.map((point) => point[k]);
      return [Math.min(...values), Math.max(...values)];
    });
    const [x, y] = ends.map(([low, high]) => (low + high) / 2);
    const scales = ends.map(([low, high], k) => this.size[k] / ((high - low) * MARGIN));
    const scale = Math.min(...scales);
    this.view = { x, y, scale: Number.isFinite(scale) ? scale : 1 };
    this.draw();
  }

  // From the plane to the canvas, in CSS pixels, and back.
  seen([a, b]) {
    const { x, y, scale } = this.view;
    return [this.size[0] / 2 + (a - x) * scale, this.size[1] / 2 - (b - y) * scale];
  }

  place([left, top]) {
    const { x, y, scale } = this.view;
    return [x + (left - this.size[0] / 2) / scale, y - (top - this.size[1] / 2) / scale];
  }

  zoom(factor, at = [this.size[0] / 2, this.size[1] / 2]) {
    const [a, b] = this.place(at);
    this.view.scale *= factor;
    const [c, d] = this.place(at);
    this.pan(a - c, b - d);
  }

  pan(a, b) {
    this.view.x += a;
    this.view.y += b;
    this.draw();
  }

  nearest([left, top]) {
    const distances = this.points.map((point) => {
      const [x, y] = this.seen(point);
      return Math.hypot(x - left, y - top);
    });
    return distances.indexOf(Math.min(...distances));
  }

  draw() {
    if (!this.size) return;
    const context = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, ...this.size);
    this.drawCross(context, style.getPropertyValue("--line"));
    const plain = style.getPropertyValue("--accent");
    const inside = this.inside();
    const pictured = this.pictures ? this.uncrowded(inside) : new Set();
    for (const { index, at } of inside) {
      if (!pictured.has(index)) this.drawDot(context, at, this.colours[index] ?? plain);
    }
    for (const { index, at } of inside) {
      if (pictured.has(index)) this.drawPicture(context, index, at, this.colours[index] ?? plain);
    }
    this.drawRing(context, style.getPropertyValue("--ink"), style.getPropertyValue("--paper"));
  }

  inside() {
    const [width, height] = this.size;
    return this.points
      .map((point, index) => ({ index, at: this.seen(point) }))
      .filter(({ at: [x, y] }) => x > -PICTURE && y > -PICTURE && x < width + PICTURE && y < height + PICTURE);
  }

  // The points whose pictures find room beside those of the points before them.
  uncrowded(inside) {
    const cells = new Map();
    const chosen = new Set();
    for (const { index, at: [x, y] } of inside) {
      const [column, row] = [Math.floor(x / PICTURE), Math.floor(y / PICTURE)];
      const around = [-1, 0, 1].flatMap((i) => [-1, 0, 1].map((j) => cells.get(`${column + i} ${row + j}`)));
      const crowded = around.some((at) => at && Math.abs(at[0] - x) < PICTURE && Math.abs(at[1] - y) < PICTURE);
      if (crowded) continue;
      cells.set(`${column} ${row}`, [x, y]);
      chosen.add(index);
    }
    return chosen;
  }

  drawCross(context, colour) {
    const [x, y] = this.seen([0, 0]);
    context.fillStyle = colour;
    context.fillRect(Math.round(x), 0, 1, this.size[1]);
    context.fillRect(0, Math.round(y), this.size[0], 1);
  }

  drawDot(context, [x, y], colour) {
    context.fillStyle = colour;
    context.globalAlpha = 0.75;
    context.beginPath();
    context.arc(x, y, DOT, 0, 2 * Math.PI);
    context.fill();
    context.globalAlpha = 1;
  }

  drawPicture(context, index, [x, y], colour) {
    const { canvas, place, width, height } = this.sheet;
    const scale = (PICTURE - 4) / Math.max(width, height);
    const [wide, tall] = [width * scale, height * scale];
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(canvas, ...place(index), width, height, x - wide / 2, y - tall / 2, wide, tall);
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.strokeRect(x - wide / 2 - 0.75, y - tall / 2 - 0.75, wide + 1.5, tall + 1.5);
  }

  drawRing(context, ink, paper) {
    const [x, y] = this.seen(this.ring);
    for (const [colour, width] of [[paper, 6], [ink, 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, RING, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("keydown", (event) => this.pressKey(event));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), [event.offsetX, event.offsetY]);
    });
  }

  press(event) {
    const at = [event.offsetX, event.offsetY];
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    const [x, y] = this.seen(this.ring);
    const grips = Math.hypot(x - at[0], y - at[1]) < GRIP && this.pointers.size === 1;
    this.held = { start: at, grips, clicks: this.pointers.size === 1 };
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const at = [event.offsetX, event.offsetY];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, at);
    if (Math.hypot(at[0] - this.held.start[0], at[1] - this.held.start[1]) > STILL) this.held.clicks = false;
    if (other) this.pinch(before, at, other);
    else if (this.held.grips) this.onMove(this.place(at));
    else if (!this.held.clicks) {
      const { scale } = this.view;
      this.pan((before[0] - at[0]) / scale, (at[1] - before[1]) / scale);
    }
  }

  pinch(before, at, other) {
    const distance = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
    this.zoom(distance(at) / distance(before), other);
  }

  release(event) {
    const clicked = this.pointers.delete(event.pointerId) && this.held?.clicks;
    if (!clicked) return;
    const at = [event.offsetX, event.offsetY];
    if (this.picks) this.onPick(this.nearest(at));
    else this.onMove(this.place(at));
  }

  pressKey(event) {
    const step = (KEY * this.size[0]) / this.view.scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const actions = {
      "+": () => this.zoom(ZOOM),
      "=": () => this.zoom(ZOOM),
      "-": () => this.zoom(1 / ZOOM),
      0: () => this.fit(),
      Enter: () => this.onPick(this.nearest(this.seen(this.ring))),
    };
    const move = moves[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(move || actions[event.key])) return;
    event.preventDefault();
    if (!move) actions[event.key]();
    else if (event.shiftKey) this.pan(...move);
    else this.onMove([this.ring[0] + move[0], this.ring[1] + move[1]]);
  }
}
