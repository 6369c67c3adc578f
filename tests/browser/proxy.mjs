/**
 * A TCP proxy that can be frozen: connections stay open, and nothing passes any more, as in a tunnel or
 * behind a dead router.
 */

import net from 'node:net';

export class Proxy {
  #sockets = new Set(); #frozen = false; #server;

  static async to(port) {
    const proxy = new Proxy();
    proxy.#server = net.createServer((client) => {
      const upstream = net.connect(port, '127.0.0.1');
      for (const [from, to] of [[client, upstream], [upstream, client]]) {
        proxy.#sockets.add(from);
        from.on('data', (bytes) => { if (!proxy.#frozen) to.write(bytes); });
        from.on('error', () => {});
        from.on('close', () => { proxy.#sockets.delete(from); if (!proxy.#frozen) to.destroy(); });
      }
    });
    await new Promise((resolve) => { proxy.#server.listen(0, '127.0.0.1', resolve); });
    return proxy;
  }

  get base() { return `http://127.0.0.1:${this.#server.address().port}`; }

  freeze() { this.#frozen = true; }

  /** New connections pass again. Those of before are cut, since bytes of theirs are gone. */
  heal() {
    this.#cut();
    this.#frozen = false;
  }

  async close() {
    const closed = new Promise((resolve) => { this.#server.close(resolve); });
    this.#cut();
    await closed;
  }

  #cut() { for (const socket of this.#sockets) socket.destroy(); }
}
