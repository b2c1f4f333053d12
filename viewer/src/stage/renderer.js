// WebGL 2: planes of pixels become textures, tiles are drawn with them.
import { VERTEX, channelsShader, labelsShader } from "./shaders.js";

// array of the pixels: [how they are stored, format, type, sampler]
const formats = (gl) => ({
  Uint8Array: [gl.R8UI, gl.RED_INTEGER, gl.UNSIGNED_BYTE, "usampler2D"],
  Int8Array: [gl.R8I, gl.RED_INTEGER, gl.BYTE, "isampler2D"],
  Uint16Array: [gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT, "usampler2D"],
  Int16Array: [gl.R16I, gl.RED_INTEGER, gl.SHORT, "isampler2D"],
  Uint32Array: [gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT, "usampler2D"],
  Int32Array: [gl.R32I, gl.RED_INTEGER, gl.INT, "isampler2D"],
  Float32Array: [gl.R32F, gl.RED, gl.FLOAT, "sampler2D"],
});

export const MAX_CHANNELS = 16; // textures that every graphics card can read at once

export class Renderer {
  #gl;
  #formats;
  #programs = new Map();

  constructor(canvas) {
    this.canvas = canvas;
    const gl = (this.#gl = canvas.getContext("webgl2", { antialias: false, depth: false, stencil: false }));
    if (!gl) throw new Error("this browser offers no WebGL 2, without which no image can be drawn");
    this.#formats = formats(gl);
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.enable(gl.BLEND);
  }

  /** A texture {texture, sampler, bytes} of rows that follow one another by `down`. */
  upload({ pixels, from, down, width, height }) {
    const gl = this.#gl;
    const values = pixels instanceof Float64Array ? Float32Array.from(pixels.subarray(from, from + (height - 1) * down + width))
      : pixels.subarray(from, from + (height - 1) * down + width);
    const [stored, format, type, sampler] = this.#formats[values.constructor.name];
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, down);
    gl.texImage2D(gl.TEXTURE_2D, 0, stored, width, height, 0, format, type, values);
    return { texture, sampler, bytes: width * height * values.BYTES_PER_ELEMENT };
  }

  free({ texture }) {
    this.#gl.deleteTexture(texture);
  }

  /** Clears the stage of `width` x `height` screen pixels of `density` each. */
  begin(width, height, density) {
    const gl = this.#gl;
    [this.width, this.height, this.density] = [width, height, density];
    const [w, h] = [Math.round(width * density), Math.round(height * density)];
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    gl.viewport(0, 0, w, h);
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  /** Draws nothing outside of these screen pixels from now on. */
  clip([left, top], [right, bottom]) {
    const gl = this.#gl;
    const [l, t, r, b] = [left, top, right, bottom].map((value) => Math.round(value * this.density));
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(l, this.canvas.height - b, Math.max(0, r - l), Math.max(0, b - t));
  }

  /** Draws textures of `width` x `height` pixels, one for each of `channels` ({color, limits}), from corner to corner in screen pixels. */
  draw(textures, channels, { width, height, from, to, smooth, labels, opacity = 1 }) {
    const gl = this.#gl;
    const { program, uniforms } = this.#program(textures[0].sampler, labels ? 0 : textures.length);
    const [x, y] = [(value) => (2 * value) / this.width - 1, (value) => 1 - (2 * value) / this.height];
    gl.useProgram(program);
    gl.uniform4f(uniforms.bounds, x(from[0]), y(from[1]), x(to[0]), y(to[1]));
    gl.uniform2f(uniforms.size, width, height);
    gl.uniform1f(uniforms.opacity, opacity);
    if (!labels) {
      gl.uniform1i(uniforms.smoothly, smooth ? 1 : 0);
      gl.uniform3fv(uniforms.colors, channels.flatMap(({ color }) => color.map((value) => value / 255)));
      gl.uniform2fv(uniforms.limits, channels.flatMap(({ limits }) => limits));
    }
    textures.forEach(({ texture }, i) => {
      gl.activeTexture(gl.TEXTURE0 + i);
      gl.bindTexture(gl.TEXTURE_2D, texture);
    });
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    gl.activeTexture(gl.TEXTURE0);
  }

  #program(sampler, count) {
    const key = `${sampler} ${count}`;
    let found = this.#programs.get(key);
    if (!found) this.#programs.set(key, (found = this.#link(count ? channelsShader(sampler, count) : labelsShader(sampler), Math.max(1, count))));
    return found;
  }

  #link(fragment, count) {
    const gl = this.#gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`this browser cannot draw images: ${gl.getProgramInfoLog(program)}`);
    const uniforms = Object.fromEntries(
      ["bounds", "size", "opacity", "smoothly", "colors", "limits"].map((name) => [name, gl.getUniformLocation(program, name)]),
    );
    gl.useProgram(program);
    for (let i = 0; i < count; i++) gl.uniform1i(gl.getUniformLocation(program, `channel${i}`), i);
    return { program, uniforms };
  }
}
