// What the page exchanges with Braze and with the service: the SDK uses XMLHttpRequest, the client uses fetch.

/** Calls `hear` at the begin and at the end of each request. An end has `status` (0: no answer), `answer` and `took`. */
export function watch(hear) {
  watchFetch(hear);
  watchXhr(hear);
}

function watchFetch(hear) {
  const plain = window.fetch;
  window.fetch = async (input, init) => {
    const call = { url: new URL(input, location.href), headers: {}, body: parsed(init?.body) };
    const began = performance.now();
    hear({ ...call, phase: 'begin' });
    try {
      const response = await plain(input, init);
      const took = performance.now() - began;
      hear({ ...call, phase: 'end', status: response.status, took, answer: parsed(await response.clone().text()) });
      return response;
    } catch (error) {
      hear({ ...call, phase: 'end', status: 0, took: performance.now() - began, answer: null });
      throw error;
    }
  };
}

function watchXhr(hear) {
  const { open, send, setRequestHeader } = XMLHttpRequest.prototype;
  const calls = new WeakMap();
  Object.assign(XMLHttpRequest.prototype, {
    open(method, url, ...rest) {
      calls.set(this, { url: new URL(url, location.href), headers: {} });
      return open.call(this, method, url, ...rest);
    },
    setRequestHeader(name, value) {
      calls.get(this).headers[name.toLowerCase()] = value;
      return setRequestHeader.call(this, name, value);
    },
    send(body) {
      const call = { ...calls.get(this), body: parsed(body) };
      const began = performance.now();
      hear({ ...call, phase: 'begin' });
      // Not `load`: the SDK would hear of the answer first, and the refresh would begin before the refusal is shown.
      this.addEventListener('readystatechange', () => {
        if (this.readyState !== XMLHttpRequest.DONE) return;
        hear({ ...call, phase: 'end', status: this.status, took: performance.now() - began, answer: parsed(this.responseText) });
      });
      return send.call(this, body);
    },
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
