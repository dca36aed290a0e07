// The face of one track, level and always of one size, as the service saw it.

import { el } from "./dom.js";

const SIDE_PX = 256;

export class AlignedFace {
  #canvas;
  #caption;
  #report;
  #video;
  #track;

  constructor(report, video) {
    this.#report = report;
    this.#video = video;
    this.#track = report.faces[0]?.track_id;
    this.#canvas = el("canvas", { width: SIDE_PX, height: SIDE_PX, role: "img", "aria-label": "The face, laid level" });
    this.#caption = el("figcaption", { class: "muted small" }, "The face, laid level, as it is measured");
    this.figure = el("figure", { class: "aligned" }, this.#canvas, this.#choice(), this.#caption);
  }

  follow(track) {
    this.#track = track;
    const choice = this.figure.querySelector("select");
    if (choice) choice.value = String(track);
  }

  /** Draw the face at this time: from the video by its transform, else from the pictures of an event. */
  draw(time) {
    const context = this.#canvas.getContext("2d");
    context.resetTransform();
    context.clearRect(0, 0, SIDE_PX, SIDE_PX);
    const matrix = this.#video.hidden ? null : this.#transformAt(time);
    if (matrix && this.#video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
      const [a, b, c, d, e, f] = matrix;
      const { width, height } = this.#report.clip;
      // Centres of pixels lie at integers in the report, at halves on a canvas.
      context.setTransform(a, d, b, e, c + 0.5, f + 0.5);
      context.drawImage(this.#video, -0.5, -0.5, width, height);
      this.#caption.textContent = "The face, laid level, as it is measured";
      return;
    }
    const picture = this.#pictureAt(time);
    if (picture) this.#drawGray(context, picture);
    this.#caption.textContent = picture
      ? "The face, laid level, from the report"
      : "The face, laid level: not known at this time";
  }

  #transformAt(time) {
    const signals = (this.#report.signals ?? []).find(({ track_id }) => track_id === this.#track);
    if (!signals || signals.times_s.length === 0) return null;
    const { times_s: times, transforms } = signals;
    const after = times.findIndex((each) => each >= time);
    if (after < 0) return transforms.at(-1);
    if (after === 0) return transforms[0];
    const share = (time - times[after - 1]) / (times[after] - times[after - 1]);
    return transforms[after].map((value, at) => share * value + (1 - share) * transforms[after - 1][at]);
  }

  #pictureAt(time) {
    const slack = 0.1;
    const inside = this.#report.events.find(({ track_id, pictures, onset_s: from, offset_s: to }) =>
      pictures && track_id === this.#track && time >= from - slack && time <= to + slack);
    if (!inside) return null;
    const { course, course_s: times } = inside.pictures;
    const near = times.reduce((best, each, at) => (Math.abs(each - time) < Math.abs(times[best] - time) ? at : best), 0);
    return course[near] ?? inside.pictures.onset;
  }

  #drawGray(context, { width, height, gray }) {
    const bytes = Uint8Array.from(atob(gray), (letter) => letter.charCodeAt(0));
    const pixels = new ImageData(width, height);
    bytes.forEach((value, at) => pixels.data.set([value, value, value, 255], 4 * at));
    const small = new OffscreenCanvas(width, height);
    small.getContext("2d").putImageData(pixels, 0, 0);
    context.drawImage(small, 0, 0, SIDE_PX, SIDE_PX);
  }

  #choice() {
    const tracks = this.#report.faces.map(({ track_id }) => track_id);
    if (tracks.length < 2) return null;
    return el("select", { "aria-label": "Which face", onchange: ({ target }) => { this.#track = Number(target.value); this.draw(this.#video.currentTime); } },
      ...tracks.map((track) => el("option", { value: track }, `face ${track}`)));
  }
}
