/** Where things are on the face mesh of 468 points: outlines to draw, parts to name. Sides are those of the picture. */

/** The outline of the face. */
export const OVAL = [
  10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
  172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
];
const CLOSED = [
  OVAL,
  [107, 66, 105, 63, 70, 46, 53, 52, 65, 55],
  [336, 296, 334, 293, 300, 276, 283, 282, 295, 285],
  [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7],
  [362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382],
  [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146],
  [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95],
];
const OPEN = [
  [168, 6, 197, 195, 5, 4],
  [64, 98, 97, 2, 326, 327, 294],
];

/** Face, brows, eyes, nose and lips as the data of an SVG path, in px of `landmarks`. */
export function outlines(landmarks) {
  const lines = [CLOSED, OPEN].flatMap((kind) => kind.map((line) => curve(line, landmarks, kind === CLOSED)));
  return lines.join("");
}

/** A smooth line through the points (Catmull and Rom 1974, as cubic pieces). */
function curve(line, landmarks, closed) {
  const count = line.length;
  const at = (i) => landmarks[line[closed ? (i + count) % count : Math.min(Math.max(i, 0), count - 1)]];
  let path = `M${pair(at(0))}`;
  for (let i = 0; i < count - (closed ? 0 : 1); i += 1) {
    const [before, from, to, after] = [i - 1, i, i + 1, i + 2].map(at);
    const bend = (point, a, b) => [point[0] + (a[0] - b[0]) / 6, point[1] + (a[1] - b[1]) / 6];
    path += `C${pair(bend(from, to, before))} ${pair(bend(to, from, after))} ${pair(to)}`;
  }
  return closed ? `${path}Z` : path;
}

function pair([x, y]) {
  return `${x.toFixed(1)},${y.toFixed(1)}`;
}

const PLACES = {
  "left inner brow": [55, 107], "right inner brow": [285, 336], "left brow": [52, 105], "right brow": [282, 334],
  "left outer brow": [46, 70], "right outer brow": [276, 300], "left eye": [159, 145], "right eye": [386, 374],
  "left cheek": [50, 205], "right cheek": [280, 425], "left nose wing": [64], "right nose wing": [294], nose: [4, 195],
  "left mouth corner": [61], "right mouth corner": [291], "upper lip": [0, 11], "lower lip": [16, 17],
  chin: [199, 152], forehead: [10, 151],
};

/** The part of the face that is nearest to `x`, `y`, px of the crop, in words. */
export function placeAt(landmarks, x, y) {
  const far = (points) => Math.min(...points.map((p) => Math.hypot(landmarks[p][0] - x, landmarks[p][1] - y)));
  const near = Object.entries(PLACES).map(([name, points]) => [far(points), name]);
  return near.reduce((a, b) => (b[0] < a[0] ? b : a))[1];
}

/** Which way `x` (right) and `y` (down) point, in words. */
export function directionWords(x, y) {
  const names = ["right", "down and right", "down", "down and left", "left", "up and left", "up", "up and right"];
  return names[(Math.round((Math.atan2(y, x) * 4) / Math.PI) + 8) % 8];
}
