// The motion of a face as lines to draw: of each part of the face its region that moved most, or each region.

import { regionGroup, regionName } from "./words.js";

export const PARTS = ["Brows", "Eyelids", "Cheeks and nose", "Mouth", "Chin"];
const LEAST_TOP_PERCENT = 3;
const percent = (iod) => (iod === null ? null : 100 * iod);

/**
 * @param {object} signals of one face, as in a report
 * @param {{byRegion: boolean}} how
 * @returns {Array<{name: string, part: string, values: Array<number|null>}>} in percent of the eye distance
 */
export function seriesOf(signals, { byRegion }) {
  const regions = signals.regions.map((region, index) => ({
    name: regionName(region),
    part: regionGroup(region),
    values: signals.motion_iod[index].map(percent),
  }));
  if (byRegion) return regions;
  return PARTS.map((part) => {
    const members = regions.filter((each) => each.part === part);
    return { name: part, part, values: signals.times_s.map((_, at) => largest(members.map(({ values }) => values[at]))) };
  });
}

/** The largest of those that are known. */
function largest(values) {
  return values.reduce((most, value) => (value !== null && (most === null || value > most) ? value : most), null);
}

/** The height of all lanes, so that they can be compared: above the largest motion, with room for names. */
export function top(signals) {
  const all = signals.flatMap(({ motion_iod: motion }) => motion.map((values) => largest(values) ?? 0));
  return Math.max(LEAST_TOP_PERCENT, 160 * all.reduce((most, value) => Math.max(most, value), 0));
}

/** Where the region that moved most in an event is at its apex: its name and its height; null where it is not known. */
export function peakOf(signals, event) {
  const region = signals.regions.indexOf(event.regions[0]);
  if (region < 0 || signals.times_s.length === 0) return null;
  const { times_s: times } = signals;
  const near = times.reduce((best, time, at) => (Math.abs(time - event.apex_s) < Math.abs(times[best] - event.apex_s) ? at : best), 0);
  const value = signals.motion_iod[region][near];
  return value === null ? null : { name: regionName(event.regions[0]), value: percent(value) };
}
