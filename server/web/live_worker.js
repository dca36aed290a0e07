// One picture after the other to JPEG, in the order in which they came. No picture is kept.

/** Movements of a pixel must survive; below, compression blurs where a movement ends. */
const QUALITY = 0.95;

let canvas = new OffscreenCanvas(1, 1);
let last = Promise.resolve();

async function encoded(picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas = new OffscreenCanvas(picture.width, picture.height);
  }
  canvas.getContext("2d", { alpha: false }).drawImage(picture, 0, 0);
  picture.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

self.onmessage = ({ data }) => {
  last = last.then(async () => self.postMessage(await encoded(data)));
};
