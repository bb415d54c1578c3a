// The decoder: its network in ONNX Runtime's WebAssembly, all of which the page holds.

const AT_ONCE = 32;

// A function that decodes a list of latents into as many lists of values, one call after the other.
export async function startDecoder(module, wasm, network) {
  const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
  const runtime = await import(address);
  URL.revokeObjectURL(address);
  runtime.env.wasm.wasmBinary = wasm.buffer;
  runtime.env.wasm.numThreads = 1;
  const session = await runtime.InferenceSession.create(network, { executionProviders: ["wasm"] });
  let last = Promise.resolve(); // calls follow one another: a session runs one at a time
  return (latents) => (last = last.then(() => decodeAll(runtime, session, latents)));
}

async function decodeAll(runtime, session, latents) {
  const decoded = [];
  for (let first = 0; first < latents.length; first += AT_ONCE) {
    decoded.push(...(await decodeBatch(runtime, session, latents.slice(first, first + AT_ONCE))));
  }
  return decoded;
}

async function decodeBatch(runtime, session, latents) {
  const size = latents[0].length;
  const numbers = new Float32Array(latents.length * size);
  latents.forEach((z, index) => numbers.set(z, index * size));
  const { x } = await session.run({ z: new runtime.Tensor("float32", numbers, [latents.length, size]) });
  const width = x.data.length / latents.length;
  return latents.map((_, index) => x.data.slice(index * width, (index + 1) * width));
}
