// The official Anthropic client: plain, streaming, and what it makes of errors.

import Anthropic from '@anthropic-ai/sdk';

import { apiKey, baseURL, run } from './common.mjs';

const client = new Anthropic({ apiKey, baseURL, maxRetries: 0 });
const request = {
  model: 'demo-chat',
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Say hello to the tests.' }],
};

await run({
  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return { text: names.join(' ') };
  },

  async plain() {
    const message = await client.messages.create(request);
    return { text: message.content[0].text, finish: message.stop_reason, tokens: message.usage.output_tokens };
  },

  async stream() {
    const result = { text: '', chunks: 0 };
    const stream = client.messages.stream(request).on('streamEvent', () => (result.chunks += 1));
    const message = await stream.finalMessage();
    return {
      ...result,
      text: message.content[0].text,
      finish: message.stop_reason,
      tokens: message.usage.output_tokens,
    };
  },

  // The gateway itself fails: its own message has to arrive untouched.
  async error() {
    await client.messages.create({ ...request, model: 'demo-error' });
  },

  async limited() {
    await client.messages.create({ ...request, model: 'demo-429' });
  },
});
