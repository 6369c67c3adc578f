/**
 * A TCP proxy that can be frozen: connections stay open, and nothing passes any more, as in a tunnel or
 * behind a dead router. It can also be slow.
 */

import net from 'node:net';

export class Proxy {
  #sockets = new Set(); #frozen = false; #latency_ms = 0; #answered = []; #server;

  static async to(port) {
    const proxy = new Proxy();
    proxy.#server = net.createServer((client) => {
      const upstream = net.connect(port, '127.0.0.1');
      for (const [from, to] of [[client, upstream], [upstream, client]]) {
        proxy.#sockets.add(from);
        from.on('data', (bytes) => { if (!proxy.#frozen) proxy.#pass(to, bytes, to === client); });
        from.on('error', () => {});
        from.on('close', () => { proxy.#sockets.delete(from); if (!proxy.#frozen) to.destroy(); });
      }
    });
    await new Promise((resolve) => { proxy.#server.listen(0, '127.0.0.1', resolve); });
    return proxy;
  }

  get base() { return `http://127.0.0.1:${this.#server.address().port}`; }

  freeze() { this.#frozen = true; }

  /** Until it heals, everything takes this much longer, in each direction. */
  slow(latency_ms) { this.#latency_ms = latency_ms; }

  /** Resolves when the next bytes were passed on to a client. */
  answer() { return new Promise((resolve) => { this.#answered.push(resolve); }); }

  #pass(to, bytes, answer) {
    const pass = () => {
      if (this.#frozen || to.destroyed) return;
      to.write(bytes);
      if (answer) for (const resolve of this.#answered.splice(0)) resolve();
    };
    if (this.#latency_ms) setTimeout(pass, this.#latency_ms);
    else pass();
  }

  /** New connections pass again, and at once. Those of before are cut, since bytes of theirs are gone. */
  heal() {
    this.#cut();
    this.#frozen = false;
    this.#latency_ms = 0;
  }

  async close() {
    const closed = new Promise((resolve) => { this.#server.close(resolve); });
    this.#cut();
    await closed;
  }

  #cut() { for (const socket of this.#sockets) socket.destroy(); }
}
