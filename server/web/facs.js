/** Action units in words, and which way they move the skin, by the Facial Action Coding System (Ekman et al. 2002). */

import { unitName } from "./words.js";

/** What each unit does, for readers who do not know its name. */
export const WORK = {
  1: "lifts the inner ends of the brows",
  2: "lifts the outer ends of the brows",
  4: "pulls the brows down and together",
  5: "opens the eyes wider",
  6: "lifts the cheeks and narrows the eyes",
  7: "tightens the eyelids",
  9: "pulls up the skin beside the nose",
  10: "lifts the upper lip",
  12: "pulls the corners of the mouth out and up",
  14: "tightens the corners of the mouth inward",
  15: "pulls the corners of the mouth down",
  16: "pulls the lower lip down",
  17: "pushes the chin and the lower lip up",
  18: "purses the lips",
  20: "stretches the mouth sideways",
  23: "narrows the lips",
  24: "presses the lips together",
  25: "opens the lips",
  26: "lets the jaw fall",
  38: "widens the nostrils",
  45: "closes the eyes for a moment",
};

/**
 * Unit -> [point of the mesh on the left or on the midline, outward, up] in distances between the eyes, at full
 * intensity: what moves most in `FULL_MOTION` of server/flow/contraction.py, by which intensities are measured.
 */
export const PULLS = {
  1: [[107, 0, 0.08]],
  2: [[70, 0.01, 0.08]],
  4: [[55, -0.03, -0.07], [52, -0.01, -0.05]],
  5: [[159, 0, 0.05]],
  6: [[50, 0, 0.05]],
  7: [[145, 0, 0.025], [159, 0, -0.02]],
  9: [[64, 0, 0.05]],
  10: [[37, 0, 0.06]],
  12: [[61, 0.08, 0.07]],
  14: [[61, -0.03, 0.01]],
  15: [[61, -0.01, -0.07]],
  16: [[84, 0, -0.05]],
  17: [[199, 0, 0.06]],
  18: [[61, -0.06, 0]],
  20: [[61, 0.08, -0.02]],
  23: [[61, -0.04, 0]],
  24: [[0, 0, -0.04], [17, 0, 0.04]],
  25: [[13, 0, 0.02], [14, 0, -0.04]],
  26: [[152, 0, -0.16]],
  38: [[64, 0.03, 0]],
  45: [[159, 0, -0.13]],
};

/** Points on the left of the picture, and their twins on the right; the others of `PULLS` lie on the midline. */
export const TWINS = {
  55: 285, 107: 336, 52: 282, 70: 300, 159: 386, 145: 374, 64: 294, 50: 280, 61: 291, 37: 267, 84: 314,
};

/** "AU 12, lip corner puller" */
export function unitTitle(au) {
  const name = unitName(au);
  return name ? `AU ${au}, ${name}` : `AU ${au}`;
}

/** Sides of the picture in words. */
export const SIDES = { left: "left of the picture", right: "right of the picture", both: "both sides" };

/** One action unit of an event, such as "AU 12, lip corner puller, both sides, 38 % of its full motion, score 0.88". */
export function unitSentence({ au, side, intensity, confidence }) {
  const share = `${percent(intensity)} of its full motion`;
  return `${unitTitle(au)}, ${SIDES[side]}, ${share}, score ${confidence.toFixed(2)}`;
}

/** A share 0..1 as a percentage. */
export function percent(share) {
  return `${Math.round(100 * share)} %`;
}
