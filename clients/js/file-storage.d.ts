import type { TidingsStorage } from './tidings.js';

/** Keeps a client's storage in one JSON file (mode 0600), replaced as a whole at each write. One process at a time may use a file. Node.js only. */
export function fileStorage(path: string): TidingsStorage;
