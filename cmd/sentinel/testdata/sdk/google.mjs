// The official Google Gen AI client: plain, streaming, and what it makes of errors.

import { GoogleGenAI } from '@google/genai';

import { apiKey, baseURL, run } from './common.mjs';

const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: baseURL } });
const request = { model: 'demo-chat', contents: 'Say hello to the tests.' };

await run({
  async models() {
    const names = [];
    for await (const model of await client.models.list()) names.push(model.name);
    return { text: names.join(' ') };
  },

  async plain() {
    const response = await client.models.generateContent(request);
    return {
      text: response.text,
      finish: response.candidates[0].finishReason,
      tokens: response.usageMetadata.totalTokenCount,
    };
  },

  async stream() {
    const result = { text: '', finish: '', chunks: 0, tokens: 0 };
    for await (const chunk of await client.models.generateContentStream(request)) {
      result.chunks += 1;
      result.text += chunk.text ?? '';
      result.finish ||= chunk.candidates?.[0]?.finishReason ?? '';
      result.tokens = chunk.usageMetadata?.totalTokenCount ?? result.tokens;
    }
    return result;
  },

  // The gateway itself fails: its own message has to arrive untouched.
  async error() {
    await client.models.generateContent({ ...request, model: 'demo-error' });
  },

  async limited() {
    await client.models.generateContent({ ...request, model: 'demo-429' });
  },
});
