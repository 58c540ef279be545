// Package credential finds every API key of a request and reads it as the
// downstream would.
//
// Threat: a binding is worth nothing if one key has two names. Whoever finds a
// place or a spelling that the downstream accepts and Sentinel does not know
// gets a fresh first use with a stolen key, or none at all. Answer: keys are
// collected from every place on every path, each is brought to the canonical
// form of the downstream, and what the downstream might read otherwise than
// Sentinel (a query that parsers disagree on, a repeated header) is refused.
// Where in doubt two spellings are taken for one key: that costs nothing, as the
// downstream refuses the one that it does not know.
//
// Several keys in one request must each pass on their own. Only one of them can
// have been what the downstream accepted, and Set.Primary says which: clients
// send dummies such as sk-xxx beside the real key, and a dummy that many share
// must not be bound.
//
// # Profile newapi
//
// New API (middleware/auth.go, TokenAuth) and One API (middleware/auth.go,
// tokenAuth). Later places overwrite earlier ones:
//
//   - Authorization, with or without a scheme;
//   - Sec-WebSocket-Protocol, also without an upgrade: what follows
//     openai-insecure-api-key. (apiKeyFromWebSocketSubprotocol); versions
//     before mid-2026 take the whole header if no part has that prefix;
//   - x-api-key, where the path contains /v1/messages or, newer, /v1/models;
//   - ?key= and then x-goog-api-key on the model routes of the Gemini API;
//   - mj-api-secret, if there is nothing so far or it is midjourney-proxy.
//
// The canonical key has neither scheme nor sk- nor anything from the first '-'
// on, which pins a channel (SetupContextForToken). Spaces around it are
// trimmed, spaces at its end too: fixed-width columns are compared without
// them. It is in lower case, since MySQL's default collations ignore case; and
// as they ignore accents too and some equate full-width letters, a key with
// anything outside printable ASCII is refused and never hashed.
//
// TokenAuthReadOnly (/api/usage/token, /api/log/token) reads Authorization
// alone; older versions read ?key= on /api/log/token.
//
// # Profile litellm
//
// LiteLLM (proxy/auth/user_api_key_auth.py): get_api_key, and for WebSockets
// user_api_key_auth_websocket. _get_bearer_token removes each occurrence of the
// scheme that a value begins with, and finds the key inside a signature of AWS
// version 4. Some routes prepend "Bearer " to what they found in another place
// and read it again, so that every occurrence of it is removed there as well.
// Basic credentials of Langfuse clients carry the key as user name. The header
// litellm_user_api_key counts on routes that pass through to a provider
// (check_api_key_for_custom_headers_or_pass_through_endpoints), and the header
// that the setting litellm_key_header_name names replaces all others
// (get_api_key_from_custom_header). Of repeated query parameters the last counts.
//
// # Profile openai
//
// Servers with the APIs of OpenAI, Anthropic or Gemini read Authorization,
// x-api-key, api-key, x-goog-api-key, ?key= or the subprotocol. They differ in
// what they do with the scheme, so that it is taken away in any case.
//
// # Profile generic
//
// Locations and canonical form as configured.
package credential
