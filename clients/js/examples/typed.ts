/** The same client from TypeScript: `npm run types` checks it. */
import { TidingsClient, TidingsError, clientId, memoryStorage } from 'tidings';
import type { ChatEvent, Conversation, OutboxEntry, TidingsStorage } from 'tidings';

const storage: TidingsStorage = memoryStorage();
const client = new TidingsClient({ origin: 'https://chat.example', storage, initial_events: 50, keep_positions: true });

function line(event: ChatEvent): string {
  switch (event.kind) {
    case 'message': return `${event.sender}: ${event.body ?? '(no text)'}${event.live ? '' : ' (earlier)'}`;
    case 'reaction': return `${event.sender} ${event.on ? 'reacted' : 'took back'} ${event.emoji} at ${event.target_seq}`;
    case 'member_left': return `${event.user} left`;
    default: return event.kind;
  }
}

const off: () => void = client.on('event', (event) => { console.log(line(event)); });
client.on('state', ({ state, retry_at_ms }) => { if (state === 'waiting' && retry_at_ms !== undefined) console.log(new Date(retry_at_ms)); });
client.on('outbox', (entry: OutboxEntry | null) => { console.log(entry?.state); });
client.on('error', (error: TidingsError) => { console.error(error.code, error.retryable, error.cause); });
client.on('skipped', ({ conversation, after, upto }) => { console.log(conversation, after + 1, upto); });

export async function main(): Promise<number> {
  await client.ready;
  const user = client.user ?? await client.signIn({ username: 'ada', password: 'correct horse' });
  client.connect();
  const lobby: Conversation = await client.createConversation({ kind: 'channel', name: 'Lobby' });
  const entry = client.send({ conversation: lobby.id, body: `I am ${user.display_name}`, client_id: clientId(lobby.id, 1, 'welcome') });
  const { seq } = await entry.committed;
  off();
  await client.close();
  return seq;
}

// What must not compile:
// @ts-expect-error an unknown event
client.on('evnt', () => {});
// @ts-expect-error a seq is a number
clientId('c', '1', 'x');
// @ts-expect-error only those states exist
client.on('state', ({ state }) => state === 'offline');
