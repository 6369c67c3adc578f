/** Types of `tidings.js`. What each thing promises is written there and in README.md. */

export type Awaitable<T> = T | Promise<T>;

/** Shaped as localStorage. Answers may be promises, and `keys` may stand in for `length` and `key`. */
export interface TidingsStorage {
  getItem(key: string): Awaitable<string | null>;
  setItem(key: string, value: string): Awaitable<void>;
  removeItem(key: string): Awaitable<void>;
  keys?(): Awaitable<string[]>;
  readonly length?: number;
  key?(index: number): string | null;
}

/** What of a WebSocket is used: the browser's, that of Node.js 22 and that of the package ws fit. */
export interface SocketLike {
  readonly readyState: number;
  onopen: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
  send(text: string): void;
  close(code?: number): void;
}

export interface TidingsOptions {
  /** The server's address, such as https://chat.example. In a page its own origin when absent. */
  origin?: string;
  storage?: TidingsStorage;
  WebSocket?: new (url: string, protocols?: string[]) => SocketLike;
  fetch?: typeof fetch;
  setTimeout?: (fn: () => void, delay_ms: number) => unknown;
  clearTimeout?: (timer: any) => void;
  now?: () => number;
  random?: () => number;
  uuid?: () => string;
  /** Runs `fn` while no other tab runs one under the same name. */
  lock?: <T>(name: string, fn: () => Awaitable<T>) => Awaitable<T>;
  /** A name for this connection, at most 64 bytes. "web" when absent. */
  device?: string;
  /** What the list of sessions calls this device: something that its user recognises, at most 64 characters. */
  device_name?: string;
  /**
   * In the foreground (see `setBackground`) a silence this long makes the client ask whether the connection lives. 2,500 when absent in a page, else
   * the server's heartbeat, which is also the most, and what counts in the background. The least is 1,000.
   */
  silence_ms?: number;
  /** Whether nobody can look, which counts as the background here. `document.hidden` when absent. */
  hidden?: () => boolean;
  /** How many of the newest events of a conversation met for the first time are synced. 20 when absent. */
  initial_events?: number;
  /** More missed events than this in a conversation are told by `skipped` instead of synced. 2,000 when absent; Infinity: never skip. */
  max_catch_up?: number;
  /** Keeps in the storage which events are handled, and begins there next time. */
  keep_positions?: boolean;
  /** For applications that keep the events themselves. */
  resume?: { cursor?: string | null; positions?: Record<string, number> };
}

export interface User { id: string; username?: string; display_name: string; guest: boolean; created_at?: string }

export type ConversationKind = 'direct' | 'group' | 'channel';
export type Role = 'owner' | 'admin' | 'member';

/** One of `client.conversations`: read it, do not write it. */
export interface Conversation {
  readonly id: string;
  readonly kind: ConversationKind;
  readonly name?: string;
  readonly topic?: string;
  readonly peer?: string;
  /** Somebody who is no contact has written it: show it as a request, until one answers or accepts them. */
  readonly stranger?: boolean;
  readonly role?: Role;
  readonly history?: 'from_join' | 'all';
  readonly join?: 'invite' | 'open';
  readonly member_count?: number;
  /** Until when one may say nothing here, as far as an event, a refusal or a call for the conversation told it. */
  readonly muted_until?: string;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly read_seq: number;
  readonly unread: number;
  /** The seq of the newest event given to the application. */
  readonly pos: number;
  readonly [field: string]: unknown;
}

interface EventBase {
  conversation: string;
  seq: number;
  sender: string;
  sent_at: string;
  /** False: it happened before this connection stood, and was caught up. */
  live: boolean;
}
export interface MessageEvent extends EventBase {
  kind: 'message';
  message_id: string;
  body?: string;
  reply_to?: number;
  mentions?: string[];
  attachments?: Record<string, unknown>[];
  data?: Record<string, unknown>;
  edited_at?: string;
  deleted?: true;
  client_id?: string;
}
export interface EditEvent extends EventBase { kind: 'edit'; target_seq: number; body?: string; deleted?: true }
export interface DeleteEvent extends EventBase { kind: 'delete'; target_seq: number }
export interface ReactionEvent extends EventBase { kind: 'reaction'; target_seq: number; emoji: string; on: boolean }
export interface MemberJoinedEvent extends EventBase { kind: 'member_joined'; user: string; role: Role }
export interface MemberLeftEvent extends EventBase { kind: 'member_left'; user: string; reason: 'left' | 'removed' | 'erased' }
export interface ConversationChangedEvent extends EventBase {
  kind: 'conversation_changed';
  changes: { name?: string; /** Empty: it was removed. */ topic?: string; history?: 'from_join' | 'all'; join?: 'invite' | 'open'; role?: { user: string; role: Role }; muted?: { user: string; until: string }; deleted?: true };
}
/** A later release may add kinds: ignore those you do not know. */
export type ChatEvent = MessageEvent | EditEvent | DeleteEvent | ReactionEvent | MemberJoinedEvent | MemberLeftEvent | ConversationChangedEvent;

export interface Ack { conversation: string; seq: number; message_id?: string; sent_at?: string; duplicate?: boolean }

export interface Draft {
  conversation?: string;
  /** A user id, for a direct message. */
  to?: string;
  body?: string;
  reply_to?: number;
  mentions?: string[];
  attachments?: Record<string, unknown>[];
  data?: Record<string, unknown>;
  /** For those who may send the same again after a restart: see `clientId`. */
  client_id?: string;
}
export interface OutboxEntry extends Draft {
  client_id: string;
  state: 'queued' | 'sending' | 'failed';
  error?: { code: string; message: string };
  /** True: the storage did not take it, so it does not survive a reload. */
  volatile?: true;
  readonly order: number;
  /** Resolves when the message is in the log. Rejects when it is refused, discarded, or the client is closed or signed out. */
  readonly committed: Promise<Ack>;
}

export type ConnectionState = 'loading' | 'signed_out' | 'idle' | 'connecting' | 'online' | 'waiting' | 'stopped' | 'closed';
/** `silent`: the connection was given up because nothing had come for seconds. */
/** `reason`: why an operator suspended the account, with state `stopped`. */
export interface State { state: ConnectionState; retry_at_ms?: number; code?: number; reason?: string; silent?: true }

export interface TidingsEvents {
  state: State;
  session: User | null;
  conversation: Conversation;
  removed: { conversation: string };
  event: ChatEvent;
  skipped: { conversation: string; after: number; upto: number };
  outbox: OutboxEntry | null;
  sent: { entry: OutboxEntry; ack: Ack };
  receipt: { conversation: string; user: string; delivered_seq?: number; read_seq?: number };
  typing: { conversation: string; user: string; on: boolean };
  presence: { user: string; state: 'online' | 'away' | 'offline'; last_seen?: string };
  lagging: { conversation?: string };
  /** `user` invites to a group or a channel: `invitations()` has more. */
  invited: { conversation: string; user: string };
  error: TidingsError;
}

/** `code` is one of the protocol's, or: offline, closed, discarded, listener, storage, stopped, no_websocket, bad_origin. */
export class TidingsError extends Error {
  constructor(fields: { code: string; message?: string; status?: number; retryable?: boolean; definite?: boolean; retry_after_ms?: number; cause?: unknown });
  readonly code: string;
  readonly status?: number;
  /** The same call may succeed later. */
  readonly retryable: boolean;
  /** False: it may have happened; repeat it with the same client_id. */
  readonly definite: boolean;
  readonly retry_after_ms?: number;
  readonly cause?: unknown;
}

/** A storage that forgets. */
export function memoryStorage(): TidingsStorage;
/** A random UUID (version 4). */
export function uuid(): string;
/** The client_id of an answer to one event: always the same UUID for the same three. */
export function clientId(conversation: string, seq: number, purpose: string): string;

export interface Member { user: string; username?: string; display_name: string; role: Role; joined_seq: number; delivered_seq: number; read_seq: number; muted_until?: string }
/** Without an end, `until` is in the year 9999. */
export interface BannedUser { user: string; username?: string; display_name: string; banned_by: string; banned_at: string; until: string; reason?: string }
export type HistoryMessage = Omit<MessageEvent, 'conversation' | 'kind' | 'live'> & { reactions: { emoji: string; count: number; me: boolean }[] };

export type Openness = 'everyone' | 'contacts' | 'nobody';
/** Who may write first, who may add to groups and channels, and who of those who share a conversation sees presence. */
export interface Privacy { messages: Openness; groups: Openness; presence: Openness }
export interface Invitation { conversation: string; kind: ConversationKind; name?: string; topic?: string; member_count: number; invited_by: User; invited_at: string; until: string }

/** A sign-in. `network` is the /24 or /48 from which its tokens were refreshed last; `current`: it is this client's. */
export interface Session { session: string; device_name?: string; created_at: string; last_used_at: string; network: string; current: boolean }

export class TidingsClient {
  constructor(options?: TidingsOptions);
  /** Resolves when the storage was read; rejects when it cannot be. */
  readonly ready: Promise<void>;
  readonly conversations: Map<string, Conversation>;
  readonly cursor: string | null;
  readonly limits: Record<string, number>;
  readonly heartbeat_ms?: number;
  readonly state: State;
  readonly user: User | null;
  readonly outbox: OutboxEntry[];
  readonly positions: Record<string, number>;

  /** Answers a function that takes the listener off. A listener may answer a promise. */
  on<Name extends keyof TidingsEvents>(name: Name, listener: (detail: TidingsEvents[Name]) => unknown): () => void;

  signUp(account: { username: string; password: string; display_name?: string }): Promise<User>;
  /** Throws the code `second_factor_needed` when `code` is needed too. */
  signIn(account: { username: string; password: string; code?: string }): Promise<User>;
  guest(profile?: { display_name?: string }): Promise<User>;
  claim(account: { username: string; password: string }): Promise<User>;
  updateMe(changes: { display_name?: string; password?: string; current_password?: string }): Promise<User>;
  signOut(): Promise<void>;
  /** The sign-ins of this user that have not ended, the one that was used last first. */
  sessions(): Promise<Session[]>;
  endSession(session: string): Promise<void>;
  endOtherSessions(): Promise<void>;
  /** Whether sign-ins by password need a code of an authenticator app. */
  secondFactor(): Promise<{ on: boolean; pending: boolean }>;
  /** The secret for the app; `confirmSecondFactor` turns it on. */
  beginSecondFactor(proof: { password: string }): Promise<{ secret: string; uri: string }>;
  confirmSecondFactor(proof: { code: string }): Promise<void>;
  endSecondFactor(proof: { password: string; code?: string }): Promise<void>;

  connect(): void;
  disconnect(): void;
  close(): Promise<void>;
  /** The network is back, or the page was woken: reconnects at once, or asks whether the connection lives. */
  nudge(): void;
  /** The network may be gone: asks at once whether the connection lives. */
  doubt(): void;

  send(draft: Draft): OutboxEntry;
  retry(client_id: string): void;
  discard(client_id: string): void;
  edit(conversation: string, seq: number, body: string): Promise<Ack>;
  delete(conversation: string, seq: number): Promise<Ack>;
  react(conversation: string, seq: number, emoji: string, on?: boolean): Promise<Ack>;
  markRead(conversation: string, seq: number): void;
  typing(conversation: string, on?: boolean): void;
  watch(users: Iterable<string>): void;
  rewatch(users: Iterable<string>): void;
  /** Whether anybody looks: the device's presence, and how soon silence is doubted. */
  setBackground(background: boolean): void;

  /** One REST call as the signed-in user. */
  api(method: string, path: string, options?: { body?: unknown; headers?: Record<string, string> }): Promise<any>;
  userById(id: string): Promise<User>;
  usersByPrefix(prefix: string, limit?: number): Promise<User[]>;
  fetchConversation(id: string): Promise<any>;
  createConversation(fields: { kind: ConversationKind; members?: string[]; name?: string; topic?: string; history?: 'from_join' | 'all'; join?: 'invite' | 'open'; client_id?: string }): Promise<Conversation & { readonly invited?: string[] }>;
  changeConversation(id: string, changes: { name?: string; topic?: string; history?: 'from_join' | 'all'; join?: 'invite' | 'open' }): Promise<any>;
  deleteConversation(id: string): Promise<null>;
  /** Joins an open conversation, or accepts an invitation. */
  join(id: string): Promise<Conversation>;
  invitations(): Promise<Invitation[]>;
  decline(id: string): Promise<null>;
  privacy(): Promise<Privacy>;
  changePrivacy(changes: Partial<Privacy>): Promise<Privacy>;
  contacts(): Promise<string[]>;
  /** Accepts somebody as a contact, or removes them. */
  setContact(user: string, on?: boolean): Promise<void>;
  setBlock(user: string, on?: boolean): Promise<null>;
  leave(id: string): Promise<void>;
  members(id: string, cursor?: string): Promise<{ members: Member[]; next_cursor?: string }>;
  /** `invited`: they are no contact of a kind that may be added, and are asked first. */
  addMember(id: string, user: string, role?: Role): Promise<Member | { user: string; invited: true }>;
  setRole(id: string, user: string, role: Role): Promise<Member>;
  removeMember(id: string, user: string): Promise<null>;
  /** Removes somebody, who need not be a member, and keeps them out: for `duration_s` seconds, or for good. `reason` is for all to read. */
  ban(id: string, user: string, how?: { duration_s?: number; reason?: string }): Promise<null>;
  unban(id: string, user: string): Promise<null>;
  bans(id: string, cursor?: string): Promise<{ bans: BannedUser[]; next_cursor?: string }>;
  history(id: string, query?: { before?: number; after?: number; limit?: number; min_seq?: number }): Promise<{ messages: HistoryMessage[]; more: boolean }>;
}
