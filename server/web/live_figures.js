// Rates and delays over the last seconds, and the figures of a run in words.

const WINDOW_US = 2e6;
const LEAST_PICTURES = 8;
const DELAYS_KEPT = 60;

/** Pictures per second by their capture times. */
export function openRate() {
  const times = [];
  let longest = 0;
  return {
    add(captureUs) {
      if (times.length) longest = Math.max(longest, captureUs - times.at(-1));
      times.push(captureUs);
      while (captureUs - times[0] > WINDOW_US) times.shift();
    },
    /** The longest time between two pictures, ms. */
    get longestGap() {
      return longest / 1000;
    },
    /** Null until there are enough. */
    get fps() {
      if (times.length < LEAST_PICTURES || times.at(-1) <= times[0]) return null;
      return ((times.length - 1) * 1e6) / (times.at(-1) - times[0]);
    },
  };
}

/** Median of the last delays. */
export function openDelays() {
  const delays = [];
  return {
    add(ms) {
      delays.push(ms);
      if (delays.length > DELAYS_KEPT) delays.shift();
    },
    get median() {
      return delays.length ? [...delays].sort((one, other) => one - other)[delays.length >> 1] : null;
    },
  };
}

const rounded = (value, unit) => (value === null ? "not known yet" : `${Math.round(value)} ${unit}`);

/** While it runs. */
export function runningFigures({ counts, rate, delay, size, announced }) {
  return [
    ["Picture", size],
    ["Pictures a second, announced", announced ? `${Math.round(announced)}` : "not told"],
    ["Pictures a second, seen", rounded(rate.fps, "")],
    ["Longest time between two pictures", rounded(rate.longestGap, "ms")],
    ["From picture to answer, median", rounded(delay, "ms")],
    ["Pictures looked at", `${counts.analysed} of ${counts.seen}`],
    ["Left out here, since network or browser were slow", `${counts.leftOut}`],
    ["Dropped by the service, since it was slow", `${counts.dropped}`],
    ["Refused by the service", `${counts.refused}`],
    ["Lost with a connection", `${counts.lost + counts.away}`],
  ];
}

/** The service's own figures of a stream, at its end. */
export function endFigures(stats, counts) {
  const model = `${stats.model.name}, version ${stats.model.version}`;
  return [
    ["Events", `${stats.events}`],
    ["Withdrawn movements", `${stats.withdrawn}`],
    ["Length", `${stats.duration_s.toFixed(1)} s`],
    ["Pictures looked at", `${stats.analysed} of ${counts.seen}`],
    ["Left out, dropped, refused, lost", [counts.leftOut, counts.dropped, counts.refused, counts.lost + counts.away].join(", ")],
    ["Delay in the service, median", `${Math.round(1000 * stats.lag_p50_s)} ms`],
    ["Delay in the service, 99th percentile", `${Math.round(1000 * stats.lag_p99_s)} ms`],
    ["Model", model],
  ];
}
