// Live streams of JPEG frames at the rate of a camera, by k6: `make load`, or `python -m bench.live --only load`.
//
// Environment: ADDRESS of gRPC, PROTO (folder of micro_expressions.proto), FRAMES (folder of 0.jpg, 1.jpg, ...),
// COUNT (how many), RATE (per second), STREAMS at a time, SECONDS each.

import encoding from 'k6/encoding';
import grpc from 'k6/net/grpc';
import { Counter, Rate, Trend } from 'k6/metrics';
import { setTimeout } from 'k6/timers';

const RATE = Number(__ENV.RATE);
const FRAMES = Math.round(Number(__ENV.SECONDS) * RATE);

const answered = new Rate('glimpse_frame_answered');
const analysed = new Rate('glimpse_frame_analysed');
const lag = new Trend('glimpse_live_lag', true);
const late = new Trend('glimpse_sent_late', true);
const dropped = new Counter('glimpse_frames_dropped');
const refused = new Counter('glimpse_frames_refused');
const steps = new Counter('glimpse_steps');
const completed = new Rate('glimpse_stream_completed');

export const options = {
  scenarios: {
    cameras: {
      executor: 'per-vu-iterations',
      vus: Number(__ENV.STREAMS),
      iterations: 1,
      maxDuration: `${Math.round(Number(__ENV.SECONDS)) + 60}s`,
    },
  },
  thresholds: {
    glimpse_frame_answered: ['rate==1'],
    glimpse_frame_analysed: ['rate>=0.99'],
    glimpse_live_lag: ['p(99)<200'],
    glimpse_stream_completed: ['rate==1'],
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
};

const pictures = [];
for (let i = 0; i < Number(__ENV.COUNT); i++) {
  pictures.push(encoding.b64encode(open(`${__ENV.FRAMES}/${i}.jpg`, 'b')));
}

const client = new grpc.Client();
client.load([__ENV.PROTO], 'micro_expressions.proto');

function pictureAt(index) {
  // Forward and backward in turn, so that nothing jumps.
  const place = index % (2 * pictures.length - 2);
  return pictures[place < pictures.length ? place : 2 * pictures.length - 2 - place];
}

export default function () {
  client.connect(__ENV.ADDRESS, { plaintext: true });
  const stream = new grpc.Stream(client, 'glimpse.v1.MicroExpressions/Live');
  const due = [];
  let start = 0;
  let answers = 0;
  let ended = false;

  function send(index) {
    if (index === FRAMES) {
      stream.end();
      return;
    }
    due.push(start + (index * 1000) / RATE);
    late.add(Math.max(0, Date.now() - due[index]));
    stream.write({
      frame: {
        frameIndex: index,
        captureTimeUs: Math.round((index * 1e6) / RATE),
        encoding: 'FRAME_ENCODING_JPEG',
        data: pictureAt(index),
      },
    });
    setTimeout(() => send(index + 1), Math.max(0, start + ((index + 1) * 1000) / RATE - Date.now()));
  }

  stream.on('data', (answer) => {
    if (answer.opened) {
      start = Date.now();
      send(0);
    } else if (answer.frameResult) {
      answers += 1;
      analysed.add(true);
      // The index of the first frame is 0, which the JSON form of a message leaves out.
      lag.add(Date.now() - due[Number(answer.frameResult.frameIndex || 0)]);
    } else if (answer.frameDropped) {
      answers += 1;
      analysed.add(false);
      dropped.add(1);
    } else if (answer.frameRefused) {
      answers += 1;
      analysed.add(false);
      refused.add(1);
    } else if (answer.stats) {
      ended = true;
    } else {
      steps.add(1);
    }
  });
  stream.on('error', (error) => console.error(`${error.code}: ${error.message}`));
  stream.on('end', () => {
    for (let i = 0; i < FRAMES; i++) {
      answered.add(i < answers);
    }
    completed.add(ended && answers === FRAMES);
    client.close();
  });
  stream.write({ options: { frameRate: RATE } });
}
