// Pictures to JPEG in a worker, so that the page stays quick while a camera runs.

/** Pictures that may be in the making; with more, the machine is slower than the camera. */
const MOST_UNDER_WAY = 2;

/** @returns an encoder: `encode(video)` gives a promise of a Blob, or null while it is `busy`; `close()` ends it */
export function openEncoder() {
  const worker = new Worker(new URL("live_worker.js", import.meta.url), { type: "module" });
  const waiting = [];
  worker.onmessage = ({ data }) => waiting.shift()?.resolve(data);
  worker.onerror = (event) => {
    for (const each of waiting.splice(0)) each.reject(new Error(event.message || "the encoder has failed"));
  };
  let underWay = 0;

  return {
    get underWay() {
      return underWay;
    },

    get busy() {
      return underWay >= MOST_UNDER_WAY;
    },

    async encode(video) {
      underWay += 1;
      try {
        const picture = await createImageBitmap(video);
        return await new Promise((resolve, reject) => {
          waiting.push({ resolve, reject });
          worker.postMessage(picture, [picture]);
        });
      } finally {
        underWay -= 1;
      }
    },

    close() {
      worker.terminate();
      for (const each of waiting.splice(0)) each.resolve(null);
    },
  };
}

/** Whether this browser can. */
export const canEncode = () => "OffscreenCanvas" in window && "createImageBitmap" in window;
