// What every script here shares: settings from the environment, a fixed local
// source address, and results as one line of JSON on standard output.
//
//   BASE_URL       where to send requests, without a trailing slash or /v1
//   API_KEY        the key to use
//   LOCAL_ADDRESS  the source address of every connection; optional
//
// The clients are built as an application would build them. The source address
// is set beneath them, on the dispatcher that the fetch of Node.js uses.

import { Agent, setGlobalDispatcher } from 'undici';

const { BASE_URL: baseURL, API_KEY: apiKey, LOCAL_ADDRESS: localAddress } = process.env;
if (!baseURL || !apiKey) {
  console.error('BASE_URL and API_KEY are required');
  process.exit(2);
}

setGlobalDispatcher(new Agent({ localAddress }));

export { apiKey, baseURL, localAddress };

// run calls each named scenario in turn and prints what came of them:
// {"plain": {"ok": true, …}, "stream": {"ok": false, "status": 403, …}}.
export async function run(scenarios) {
  const results = {};
  for (const [name, scenario] of Object.entries(scenarios)) {
    try {
      results[name] = { ok: true, ...(await scenario()) };
    } catch (error) {
      results[name] = describe(error);
    }
  }
  // Connections that are kept alive would keep the process alive too.
  process.stdout.write(`${JSON.stringify(results)}\n`, () => process.exit(0));
}

// describe keeps what an application would see of an error.
function describe(error) {
  return {
    ok: false,
    name: error?.constructor?.name ?? 'unknown',
    status: error?.status ?? 0,
    message: error?.message ?? String(error),
    type: error?.type ?? '',
    code: error?.code ?? '',
  };
}
