// What stands in the way of seeing an expression, by what the service says of each face.

/** Beyond the first a face is no longer good, beyond the second it is poor; those of server/faces/quality.py. */
export const LIMITS = {
  iodPx: [60, 35],
  sharpness: [8, 3],
  yawDeg: [15, 25],
  pitchDeg: [20, 30],
  inside: [0.98, 0.85],
  fps: [50, 25],
};
/** Mean grey levels of the face, 0..255, outside of which skin has hardly any texture to follow. */
const DARK = 45;
const BRIGHT = 235;
const PATCH_PX = 24;

const below = (value, [fair, poor]) => (value >= fair ? 0 : value >= poor ? 1 : 2);
const above = (value, [fair, poor]) => (value <= fair ? 0 : value <= poor ? 1 : 2);

/**
 * The most important thing to say of the faces of one frame.
 *
 * @param {Array<object>} faces those of a `frame_result`
 * @param {number|null} brightness mean grey level of the face, where known
 * @returns {{code: string, level: 0|1|2}} how bad it is: 0 good, 1 fair, 2 poor
 */
export function judge(faces, brightness) {
  if (faces.length === 0) return { code: "none", level: 2 };
  if (faces.length > 1) return { code: "several", level: 1 };
  const [{ quality, state }] = faces;
  const found = quality
    ? [
        { code: "small", level: below(quality.iod_px, LIMITS.iodPx) },
        { code: "outside", level: below(quality.inside, LIMITS.inside) },
        { code: "sideways", level: above(Math.abs(quality.yaw_deg), LIMITS.yawDeg) },
        { code: quality.pitch_deg > 0 ? "down" : "up", level: above(Math.abs(quality.pitch_deg), LIMITS.pitchDeg) },
        { code: "dark", level: brightness !== null && brightness < DARK ? 2 : 0 },
        { code: "bright", level: brightness !== null && brightness > BRIGHT ? 2 : 0 },
        { code: "blurred", level: below(quality.sharpness, LIMITS.sharpness) },
      ]
    : [];
  if (state === "unsteady") found.push({ code: "unsteady", level: 2 });
  const worst = found.reduce((one, other) => (other.level > one.level ? other : one), { code: state, level: 0 });
  return worst;
}

const patch = document.createElement("canvas");
patch.width = patch.height = PATCH_PX;

/** Mean grey level, 0..255, of what `video` shows between and below the eyes of a face; null where there is none. */
export function brightnessOf(video, face) {
  if (!face?.eyes_px?.length || !video.videoWidth) return null;
  const [[x0, y0], [x1, y1]] = face.eyes_px;
  const iod = Math.hypot(x1 - x0, y1 - y0);
  const picture = patch.getContext("2d", { willReadFrequently: true });
  picture.drawImage(video, (x0 + x1 - iod) / 2, (y0 + y1) / 2, iod, iod, 0, 0, PATCH_PX, PATCH_PX);
  const { data } = picture.getImageData(0, 0, PATCH_PX, PATCH_PX);
  let sum = 0;
  for (let at = 0; at < data.length; at += 4) sum += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
  return sum / (PATCH_PX * PATCH_PX);
}
