/**
 * Says one line in a conversation and ends: node examples/say.mjs CONVERSATION "text". It ends when the message is in the log, not before.
 * A new guest says it, so the conversation must be open to join.
 */
import { TidingsClient } from 'tidings';

const [conversation, body] = process.argv.slice(2);
const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;
const client = new TidingsClient({ origin: process.env.TIDINGS_URL ?? 'http://127.0.0.1:8080', WebSocket });

await client.guest({ display_name: 'Passer-by' });
await client.join(conversation);
client.connect();
const { seq } = await client.send({ conversation, body }).committed;
console.log(`said as number ${seq}`);
await client.close();
