// How far each part of the face is from where it has mostly been, over the last seconds.

import { regionGroup } from "./words.js";

/** Groups of regions that the page tells apart, from top to bottom; names as in words.js. */
export const PARTS = ["Brows", "Eyelids", "Cheeks and nose", "Mouth", "Chin"];
/** About where the service begins to take a displacement for a movement, in eye distances (server/spotting/intervals.py). */
export const NOTABLE_IOD = 0.015;
export const KEPT_S = 12;
const REST_S = 4;
/** A time between two pictures so many times as long as usual is a gap. */
const MISSING = 2.5;
const REST_ANEW_S = 0.25;

/** @param {string[]} regions names in the order of `motion_iod` */
export function openMotion(regions) {
  const partOf = regions.map((region) => PARTS.indexOf(regionGroup(region)));
  let samples = [];
  let rest = null;
  let restedAt = -Infinity;
  let track = null;

  /** The median of each coordinate over the last seconds: a movement is shorter than its half. */
  function renewRest(now) {
    const recent = samples.filter((sample) => sample.time > now - REST_S);
    rest = regions.map((_, region) =>
      [0, 1].map((axis) => median(recent.map((sample) => sample.motion[region][axis]).filter(Number.isFinite))),
    );
    restedAt = now;
  }

  return {
    /** Motion of one face at `time`, seconds; another face begins anew. Gaps in time stay gaps. */
    add(time, face) {
      if (face.track_id !== track) {
        samples = [];
        restedAt = -Infinity;
        track = face.track_id;
      }
      samples.push({ time, motion: face.motion_iod, parts: null, sizes: null });
      while (samples[0].time < time - KEPT_S) samples.shift();
      if (time - restedAt > REST_ANEW_S) renewRest(time);
      const newest = samples.at(-1);
      newest.sizes = newest.motion.map(([x, y], region) => Math.hypot(x - rest[region][0], y - rest[region][1]) || 0);
      newest.parts = PARTS.map((_, part) => Math.max(0, ...newest.sizes.filter((_size, region) => partOf[region] === part)));
    },

    /** Whether pictures are missing between two times, which makes a movement there less sure. */
    isGapped(from, to) {
      const gaps = samples.slice(1).map((sample, at) => ({ at: sample.time, length: sample.time - samples[at].time }));
      const usual = median(gaps.map((gap) => gap.length));
      return gaps.some((gap) => gap.at > from && gap.at - gap.length < to && gap.length > MISSING * usual);
    },

    /** `{time, parts, sizes}`: how far each part and each region is away, in eye distances; oldest first. */
    get samples() {
      return samples;
    },
  };
}

function median(values) {
  if (values.length === 0) return 0;
  values.sort((one, other) => one - other);
  return values[values.length >> 1];
}
