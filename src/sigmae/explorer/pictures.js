// Pictures of examples: images of 1, 3 or 4 channels as they are, vectors as bars; and which are alike.

const BARS = { width: 96, height: 48, colour: [68, 132, 216, 255] };

export class Painter {
  constructor(shape, [low, high]) {
    this.shape = shape;
    this.low = low;
    this.high = high;
    const bar = Math.max(1, Math.floor(BARS.width / shape[0]));
    [this.height, this.width] = this.isImage ? shape.slice(1) : [BARS.height, bar * shape[0]];
  }

  get isImage() {
    return this.shape.length === 3;
  }

  // Values as the decoder gives them; images that were stored in 8 bits are divided by 255.
  values(row) {
    return row instanceof Uint8Array ? Float32Array.from(row, (value) => value / 255) : row;
  }

  pixels(row) {
    const values = this.values(row);
    return new ImageData(this.isImage ? this.colours(values) : this.bars(values), this.width, this.height);
  }

  colours(values) {
    const [channels, size] = [this.shape[0], this.width * this.height];
    const shown = new Uint8ClampedArray(4 * size).fill(255);
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < Math.max(3, channels); c++) {
        shown[4 * i + c] = 255 * values[channels === 1 ? i : c * size + i];
      }
    }
    return shown;
  }

  bars(values) {
    const shown = new Uint8ClampedArray(4 * this.width * this.height);
    const line = (value) => {
      const share = (value - this.low) / (this.high - this.low || 1);
      return Math.round((1 - Math.min(1, Math.max(0, share))) * (this.height - 1));
    };
    const zero = line(0);
    for (let x = 0; x < this.width; x++) {
      const end = line(values[Math.floor((x * values.length) / this.width)]);
      for (let y = Math.min(zero, end); y <= Math.max(zero, end); y++) shown.set(BARS.colour, 4 * (y * this.width + x));
    }
    return shown;
  }

  // One example on a canvas of its size, which the page enlarges.
  draw(canvas, row) {
    this.strip(canvas, [row]);
  }

  // Examples side by side.
  strip(canvas, rows) {
    canvas.width = this.width * rows.length;
    canvas.height = this.height;
    const context = canvas.getContext("2d");
    rows.forEach((row, index) => context.putImageData(this.pixels(row), index * this.width, 0));
  }

  // All rows of a tensor in a square of tiles, to be drawn from.
  sheet(tensor) {
    const columns = Math.ceil(Math.sqrt(tensor.length));
    const canvas = document.createElement("canvas");
    canvas.width = columns * this.width;
    canvas.height = Math.ceil(tensor.length / columns) * this.height;
    const context = canvas.getContext("2d");
    const place = (index) => [(index % columns) * this.width, Math.floor(index / columns) * this.height];
    for (let i = 0; i < tensor.length; i++) context.putImageData(this.pixels(tensor.row(i)), ...place(i));
    return { canvas, place, width: this.width, height: this.height };
  }

  // As an example is shown: an image's values end at 0 and 1.
  clipped(values) {
    return this.isImage ? values.map((value) => Math.min(1, Math.max(0, value))) : values;
  }
}

export function squaredError(values, row) {
  const unit = row instanceof Uint8Array ? 255 : 1;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] - row[i] / unit) ** 2;
  return sum;
}

// The `count` rows of the least squared error, the nearest first.
export function nearest(values, tensor, count) {
  const errors = Array.from({ length: tensor.length }, (_, index) => ({
    index,
    error: squaredError(values, tensor.row(index)),
  }));
  return errors.sort((a, b) => a.error - b.error).slice(0, count);
}
