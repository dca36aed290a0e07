// The face as the service sees it, drawn over the preview.

import { NOTABLE_IOD } from "./live_motion.js";

/** The aligned crop with the chin, in eye distances from the middle of the eyes: left, top, right, bottom (server/types.py). */
const CROP = [-128 / 115.2, -96 / 115.2, 128 / 115.2, 224 / 115.2];
/** Where regions are on a face like that of the samples, in eye distances from the middle of the eyes; mirrored. */
const ON_THE_RIGHT = {
  brow_inner: [0.23, -0.27],
  brow_middle: [0.65, -0.34],
  brow_outer: [0.88, -0.22],
  cheek: [0.74, 0.49],
  nose_wing: [0.33, 0.58],
  mouth_corner: [0.52, 0.85],
  lid: [0.54, -0.11],
};
const IN_THE_MIDDLE = { lip_upper: [0, 0.87], lip_lower: [0, 1.17], chin: [0, 1.46] };
const DOT_IOD = 0.035;
const MOST_IOD = 0.05;

function placeOf(region) {
  if (region in IN_THE_MIDDLE) return IN_THE_MIDDLE[region];
  const [x, y] = ON_THE_RIGHT[region.replace(/_(left|right)$/, "")] ?? [0, 0];
  return region.endsWith("_left") ? [-x, y] : [x, y];
}

/**
 * @param {HTMLCanvasElement} canvas lies on the preview
 * @param {HTMLVideoElement} video
 * @param {Array<object>} faces those of a `frame_result`
 * @param {string[]} regions
 * @param {number[]|null} sizes how far each region of the only face is away, in eye distances
 */
export function drawFaces(canvas, video, faces, regions, sizes) {
  if (canvas.width !== video.videoWidth || canvas.height !== video.videoHeight) {
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
  }
  const picture = canvas.getContext("2d");
  picture.setTransform(1, 0, 0, 1, 0, 0);
  picture.clearRect(0, 0, canvas.width, canvas.height);
  for (const face of faces) {
    if (face.eyes_px.length !== 2) continue;
    const [[x0, y0], [x1, y1]] = face.eyes_px;
    const iod = Math.hypot(x1 - x0, y1 - y0);
    if (!iod) continue;
    const [cos, sin] = [x1 - x0, y1 - y0];
    picture.setTransform(cos, sin, -sin, cos, (x0 + x1) / 2, (y0 + y1) / 2);
    outline(picture, iod);
    if (sizes && faces.length === 1) regions.forEach((region, at) => dot(picture, placeOf(region), sizes[at], iod));
  }
}

// Light on dark, so that it shows on any skin, hair and wall.
function outline(picture, iod) {
  const [left, top, right, bottom] = CROP;
  for (const [width, colour] of [
    [5, "rgb(0 0 0 / .55)"],
    [2, "#ffffff"],
  ]) {
    picture.lineWidth = width / iod;
    picture.strokeStyle = colour;
    picture.strokeRect(left, top, right - left, bottom - top);
  }
}

function dot(picture, [x, y], size, iod) {
  const share = Math.min(1, size / MOST_IOD);
  picture.beginPath();
  picture.arc(x, y, DOT_IOD * (1 + 2 * share), 0, 2 * Math.PI);
  picture.fillStyle = size >= NOTABLE_IOD ? "rgb(255 214 64 / .9)" : "rgb(255 255 255 / .45)";
  picture.fill();
  picture.lineWidth = 1.5 / iod;
  picture.strokeStyle = "rgb(0 0 0 / .6)";
  picture.stroke();
}

export function clearFaces(canvas) {
  canvas.getContext("2d").setTransform(1, 0, 0, 1, 0, 0);
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}
