// Latents, as numbers: draws of a density, paths between two, and planes through them.

// The generator "mulberry32", and from it normal numbers by Box and Muller: the same seed, the same draws.
export class Generator {
  constructor(seed) {
    this.state = seed >>> 0;
    this.spare = null;
  }

  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let word = this.state;
    word = Math.imul(word ^ (word >>> 15), word | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  }

  normal() {
    if (this.spare !== null) {
      const kept = this.spare;
      this.spare = null;
      return kept;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

// `count` draws of a density from its tensors: independent normals, a Gaussian with the factor L, a mixture of those;
// or, of a density whose networks stayed behind, draws that were made beforehand, in turn.
export function draws(density, count, seed) {
  const generator = new Generator(seed);
  const one = density.draws
    ? (index) => density.draws.row((seed * count + index) % density.draws.length).slice()
    : () => drawn(density, generator);
  return Array.from({ length: count }, (_, index) => one(index));
}

function drawn({ mean, scale, factor, weights }, generator) {
  const part = weights ? choice(weights.data, generator.uniform()) : 0;
  const size = mean.shape.at(-1);
  const center = mean.data.subarray(part * size, (part + 1) * size);
  const noise = Float64Array.from({ length: size }, () => generator.normal());
  if (scale) return Float32Array.from(center, (value, i) => value + scale.data[i] * noise[i]);
  const lower = factor.data.subarray(part * size * size, (part + 1) * size * size);
  return Float32Array.from(center, (value, i) => {
    for (let j = 0; j <= i; j++) value += lower[i * size + j] * noise[j];
    return value;
  });
}

function choice(weights, place) {
  let part = 0;
  while (part < weights.length - 1 && place >= weights[part]) place -= weights[part++];
  return part;
}

// The spherical path of `sigmae.model.slerp`: the angle of the normalised vectors, their own lengths.
export function slerp(start, end, time) {
  const length = (z) => Math.max(Math.sqrt(dot(z, z)), 1e-8);
  const angle = Math.acos(Math.min(1, Math.max(-1, dot(start, end) / (length(start) * length(end)))));
  const sine = Math.sin(angle);
  const curved = Math.abs(sine) >= 1e-6;
  const first = curved ? Math.sin((1 - time) * angle) / sine : 1 - time;
  const second = curved ? Math.sin(time * angle) / sine : time;
  return Float32Array.from(start, (value, i) => first * value + second * end[i]);
}

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

// `count` numbers from one end to the other, both included.
export function steps(low, high, count) {
  return Array.from({ length: count }, (_, index) => low + ((high - low) * index) / (count - 1));
}

export function replaced(z, index, value) {
  const other = z.slice();
  other[index] = value;
  return other;
}

// A plane through `origin` along two orthogonal unit directions.
export class Plane {
  constructor(origin, across, up) {
    this.origin = origin;
    this.across = across;
    this.up = up;
    this.shift = [dot(origin, across), dot(origin, up)];
  }

  // The coordinates of the point of the plane that is nearest to z.
  place(z) {
    return [dot(z, this.across) - this.shift[0], dot(z, this.up) - this.shift[1]];
  }

  // z, moved within its own parallel of the plane to these coordinates: what is not in the plane stays.
  moved(z, [a, b]) {
    const [first, second] = this.place(z);
    return Float32Array.from(z, (value, i) => value + (a - first) * this.across[i] + (b - second) * this.up[i]);
  }
}

export function axis(size, index) {
  const direction = new Float32Array(size);
  direction[index] = 1;
  return direction;
}
