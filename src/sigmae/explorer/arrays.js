// What the page carries: bytes, gzipped and in base64, and tensors in the form of safetensors.

export async function unpacked(name) {
  const element = document.getElementById(`packed-${name}`);
  const bytes = decoded(element.textContent);
  element.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function decoded(base64) {
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

const KINDS = { F32: Float32Array, I32: Int32Array, U8: Uint8Array };

// Tensors by name. The header, JSON, follows its length in eight bytes, and says where behind it each tensor lies.
export function tensors(bytes) {
  const start = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const found = {};
  for (const [name, { dtype, shape, data_offsets: [first, last] }] of Object.entries(header)) {
    found[name] = new Tensor(new KINDS[dtype](bytes.slice(start + first, start + last).buffer), shape);
  }
  return found;
}

export class Tensor {
  constructor(data, shape) {
    this.data = data;
    this.shape = shape;
    this.width = shape.slice(1).reduce((product, size) => product * size, 1);
  }

  get length() {
    return this.shape[0];
  }

  row(index) {
    return this.data.subarray(index * this.width, (index + 1) * this.width);
  }
}
