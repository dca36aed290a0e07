/** The pixels and fields of a report as plain arrays, and what can be said of them in numbers. */

/** Gray levels of a `Picture`, Uint8Array [height * width], row by row. Throws RangeError if they are too few or many. */
export function grayOf(picture) {
  return bytesOf(picture.gray, picture.width * picture.height);
}

/** A `Field` with its numbers in its owner's unit, Float32Array [height * width]. Throws RangeError like `grayOf`. */
export function fieldOf({ width, height, scale, values }) {
  const bytes = bytesOf(values, 2 * width * height);
  const view = new DataView(bytes.buffer);
  const numbers = Float32Array.from({ length: width * height }, (_, i) => scale * view.getInt16(2 * i, true));
  return { width, height, values: numbers };
}

function bytesOf(text, length) {
  const decoded = atob(text);
  if (decoded.length !== length) throw new RangeError(`${decoded.length} bytes where ${length} belong`);
  return Uint8Array.from(decoded, (c) => c.charCodeAt(0));
}

/** Lengths of the vectors of two fields of one size, Float32Array. */
export function lengthsOf(u, v) {
  return u.values.map((x, i) => Math.hypot(x, v.values[i]));
}

/** Index of the largest number. */
export function peakOf(values) {
  return values.reduce((best, x, i) => (x > values[best] ? i : best), 0);
}

/** The number that a share of `values` does not exceed: a scale that a single pixel cannot stretch. */
export function quantile(values, share) {
  const sorted = Float32Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Half the width and height of gray pictures, each pixel the mean of four: Float32Array. */
export function halved(gray, width, height) {
  const half = width / 2;
  return Float32Array.from({ length: half * (height / 2) }, (_, i) => {
    const at = 2 * Math.floor(i / half) * width + 2 * (i % half);
    return (gray[at] + gray[at + 1] + gray[at + width] + gray[at + width + 1]) / 4;
  });
}
