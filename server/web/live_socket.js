// One connection of `WS /v1/live` (docs/websocket.md): frames out, answers in, and how many may be on their way.

const HEADER_BYTES = 16;
const ANSWERS = new Set(["frame_result", "frame_dropped", "frame_refused"]);
/** What a browser may hold unsent: beyond it the network is slower than the camera. */
const MOST_UNSENT_BYTES = 1_000_000;
/** No more than a second of pictures is on its way, however many the service would hold: the reader watches. */
const LONGEST_S = 1;
const LEAST_WINDOW = 16;

/**
 * Open one.
 *
 * @param {object} how
 * @param {Record<string, string|number|boolean>} how.options the query of the address
 * @param {string} how.key the credential, or ""
 * @param {(reply: object, sentAt: number|undefined) => void} how.onReply every answer; for one to a frame also what
 *   `send` was told of it
 * @param {(end: {code: number, opened: boolean, error: object|null}) => void} how.onClose once, when it is over
 */
export function openSocket({ options, key, onReply, onClose }) {
  const address = new URL("/v1/live", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  for (const [name, value] of Object.entries(options)) address.searchParams.set(name, String(value));
  const socket = new WebSocket(address, key ? ["glimpse.v1", `glimpse.key.${key}`] : ["glimpse.v1"]);
  const underWay = new Map();
  let index = 0;
  let lastUs = -Infinity;
  let room = 0;
  let opened = false;
  let error = null;

  socket.onmessage = (message) => {
    const reply = JSON.parse(message.data);
    let sentAt;
    if (reply.type === "opened") {
      opened = true;
      room = Math.min(reply.limits.live_buffer_frames, Math.max(LEAST_WINDOW, LONGEST_S * options.frame_rate));
    } else if (reply.type === "error") {
      error = reply;
    } else if (ANSWERS.has(reply.type)) {
      sentAt = underWay.get(reply.frame_index);
      underWay.delete(reply.frame_index);
    }
    onReply(reply, sentAt);
  };
  socket.onclose = (close) => onClose({ code: close.code, opened, error });

  const ready = () => opened && socket.readyState === WebSocket.OPEN;
  return {
    /** Frames that have no answer yet. */
    get unanswered() {
      return underWay.size;
    },

    get ready() {
      return ready();
    },

    /** Whether one more frame may be sent, beside `coming` that are being made. */
    mayTake(coming) {
      return ready() && underWay.size + coming < room && socket.bufferedAmount < MOST_UNSENT_BYTES;
    },

    /** Send a JPEG (a Blob); `at` comes back with its answer. False where it cannot be sent any more. */
    send(jpeg, captureUs, at) {
      if (!ready() || captureUs <= lastUs) return false;
      lastUs = captureUs;
      const header = new DataView(new ArrayBuffer(HEADER_BYTES));
      header.setBigInt64(0, BigInt(index));
      header.setBigInt64(8, BigInt(captureUs));
      underWay.set(index, at);
      index += 1;
      socket.send(new Blob([header, jpeg]));
      return true;
    },

    /** No more frames come; what waits is answered, then the statistics come. */
    end() {
      if (ready()) socket.send('{"type":"end"}');
      else socket.close();
    },

    /** Give up what is not answered. */
    close() {
      socket.close();
    },
  };
}
