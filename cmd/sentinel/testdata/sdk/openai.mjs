// The official OpenAI client: plain, streaming, and what it makes of errors.

import OpenAI from 'openai';

import { apiKey, baseURL, run } from './common.mjs';

const client = new OpenAI({ apiKey, baseURL: `${baseURL}/v1`, maxRetries: 0 });
const messages = [{ role: 'user', content: 'Say hello to the tests.' }];

await run({
  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return { text: names.join(' ') };
  },

  async plain() {
    const completion = await client.chat.completions.create({ model: 'demo-chat', messages });
    return {
      text: completion.choices[0].message.content,
      finish: completion.choices[0].finish_reason,
      tokens: completion.usage.total_tokens,
    };
  },

  async stream() {
    const stream = await client.chat.completions.create({
      model: 'demo-chat',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const result = { text: '', finish: '', chunks: 0, tokens: 0 };
    for await (const chunk of stream) {
      result.chunks += 1;
      result.text += chunk.choices[0]?.delta?.content ?? '';
      result.finish ||= chunk.choices[0]?.finish_reason ?? '';
      result.tokens ||= chunk.usage?.total_tokens ?? 0;
    }
    return result;
  },

  async responses() {
    const response = await client.responses.create({ model: 'demo-chat', input: 'Say hello to the tests.' });
    return { text: response.output_text, finish: response.status, tokens: response.usage.total_tokens };
  },

  async responsesStream() {
    const stream = await client.responses.create({ model: 'demo-chat', input: 'Say hello to the tests.', stream: true });
    const result = { text: '', finish: '', chunks: 0 };
    for await (const event of stream) {
      result.chunks += 1;
      if (event.type === 'response.output_text.delta') result.text += event.delta;
      if (event.type === 'response.completed') result.finish = event.response.status;
    }
    return result;
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model: 'demo-embedding', input: ['one', 'two'] });
    return { chunks: answer.data.length, tokens: answer.usage.total_tokens };
  },

  // The gateway itself fails: its own message has to arrive untouched.
  async error() {
    await client.chat.completions.create({ model: 'demo-error', messages });
  },

  async limited() {
    await client.chat.completions.create({ model: 'demo-429', messages });
  },
});
