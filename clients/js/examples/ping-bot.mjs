/**
 * Answers every "!ping" exactly once, however often this process is killed and started again.
 *
 *   BOT_PASSWORD='correct horse' node examples/ping-bot.mjs
 *
 * Two halves make that: `keep_positions` begins again at the first event that was not handled, so none is missed; and the answer's
 * `client_id` is made from the event it answers, so that the server takes it once, even when the bot was killed before it knew.
 */
import { TidingsClient, clientId } from 'tidings';
import { fileStorage } from 'tidings/file-storage';

const { TIDINGS_URL = 'http://127.0.0.1:8080', BOT_NAME = 'pingbot', BOT_PASSWORD, BOT_FILE = './pingbot.json' } = process.env;
const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket; // Node.js 22 has one of its own

const client = new TidingsClient({ origin: TIDINGS_URL, storage: fileStorage(BOT_FILE), WebSocket, device: 'bot', keep_positions: true, max_catch_up: Infinity });

client.on('error', (error) => console.error(error));
client.on('state', ({ state }) => console.log(state));
client.on('event', async ({ conversation, seq, kind, sender, body }) => {
  if (kind !== 'message' || sender === client.user.id || body !== '!ping') return;
  await client.send({ conversation, body: 'pong', reply_to: seq, client_id: clientId(conversation, seq, 'pong') }).committed;
});

await client.ready;
if (!client.user) await client.signUp({ username: BOT_NAME, password: BOT_PASSWORD }); // signs in when the account is there
client.connect();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => client.close());
