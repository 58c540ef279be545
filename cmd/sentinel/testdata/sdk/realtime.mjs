// The realtime API over WebSocket: by the official OpenAI client, and as a
// browser does it, with the key among the subprotocols.

import { connect } from 'node:net';

import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { WebSocket } from 'ws';

import { apiKey, baseURL, localAddress, run } from './common.mjs';

const model = 'demo-realtime';

// The client always builds a wss address. This opens it without TLS when the
// base URL is plain http, and leaves all above the connection to the client.
const options = { localAddress };
if (baseURL.startsWith('http:')) {
  options.createConnection = ({ host, port }) => connect({ host, port, localAddress });
}

await run({
  client: () => {
    const client = new OpenAI({ apiKey, baseURL: `${baseURL}/v1`, maxRetries: 0 });
    const realtime = new OpenAIRealtimeWS({ model, options }, client);
    realtime.on('error', () => {}); // converse sees every error on the socket
    return converse(realtime.socket, (event) => realtime.send(event));
  },

  subprotocol: () => {
    const url = `${baseURL.replace(/^http/, 'ws')}/v1/realtime?model=${model}`;
    const protocols = ['realtime', `openai-insecure-api-key.${apiKey}`, 'openai-beta.realtime-v1'];
    const socket = new WebSocket(url, protocols, { localAddress });
    return converse(socket, (event) => socket.send(JSON.stringify(event)));
  },
});

// converse waits for session.created, sends one event, takes its echo, says
// goodbye, and returns the types of the events seen. A refused upgrade becomes
// an error with the status and the message of the answer.
function converse(socket, send) {
  return new Promise((resolve, reject) => {
    const events = [];
    socket.on('message', (data) => {
      const { type } = JSON.parse(data.toString());
      events.push(type);
      if (type === 'session.created') send({ type: 'input_audio_buffer.clear', event_id: 'event_1' });
      else socket.close(1000, 'done');
    });
    socket.on('close', (code) => resolve({ text: events.join(' '), finish: String(code), protocol: socket.protocol }));
    socket.on('error', reject);
    socket.on('unexpected-response', (_request, response) => refused(response).then(reject, reject));
  });
}

async function refused(response) {
  let text = '';
  for await (const part of response) text += part;
  const { error } = JSON.parse(text);
  return Object.assign(new Error(`${response.statusCode} ${error.message}`), {
    status: response.statusCode,
    type: error.type,
    code: error.code,
  });
}
