// The demo's page: the real Web SDK, the client, and the buttons.

import { watch } from '/traffic.js';
import { brief, clock, dim, effect, find, kid, light, log, state, Story, token, verdict, write } from '/view.js';

for (const button of document.querySelectorAll('[data-copy]')) button.onclick = () => copy(button);
find('again').onclick = () => location.reload();
write('zone', Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'your zone');

showConsole().catch(() => write('console-state', 'The demo does not answer.'));
try {
  await start();
} catch (error) {
  state('bad', 'Stopped: the page could not start.');
  write('trouble-text', error.message);
  find('trouble').hidden = false;
}

async function start() {
  const config = await (await fetch('/demo/config')).json();
  find('sandbox').src = find('sandbox-link').href = config.sandbox;
  if (config.missing.length) {
    write('packages', config.missing.join(' and '));
    write('modules', config.modules);
    find('missing').hidden = false;
    return state('warn', 'Waiting: the page needs packages that are not installed.');
  }
  run(config, await import(config.sdk), await import(config.client));
  state('idle', 'Ready: nobody uses the app yet.');
  // Not earlier: a form that is sent before its script is there would leave the page.
  find('app').hidden = false;
}

/** Says how far the console's sample data are, until they are ready. */
async function showConsole() {
  const { state: progress, days, token, console_url } = await (await fetch('/demo/console')).json();
  if (progress === 'ready') {
    write('console-state', 'The console is ready.');
    write('console-token', token);
    find('console-link').href = console_url;
  } else if (progress === 'failed') {
    write('console-state', 'There is no sample data: the terminal of the demo says why.');
  } else {
    write('console-state', `Sample data is being made: ${days} of 7 days.`);
    await new Promise((passed) => setTimeout(passed, 1000));
    return showConsole();
  }
}

async function copy(button) {
  const text = find(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = 'Copied';
  } catch {
    // Where a browser forbids it, the reader copies the selection.
    getSelection().selectAllChildren(text);
    button.textContent = 'Selected';
  }
  setTimeout(() => (button.textContent = 'Copy'), 2000);
}

function run(config, braze, { connectBrazeAuth }) {
  let user = null;
  let events = 0;
  const story = new Story();

  watch((call) => {
    if (call.url.origin === config.sandbox) heardBraze(call);
    else if (call.url.href === `${config.service}/v1/token/refresh`) heardToken(call, 'refresh', 'refreshed');
    else if (call.url.pathname === '/demo/login') heardToken(call, 'login', 'new login');
  });

  function heardBraze({ phase, url, headers, body, answer, status }) {
    if (!url.pathname.endsWith('/data/') && !answer?.auth_error) return;
    const signature = headers['x-braze-auth-signature'];
    const sent = body?.events?.length ?? 0;
    if (phase === 'begin') {
      if (signature && user) token(signature);
      return light('send', 'accent', ['sdk', 'braze']);
    }
    const failure = answer?.auth_error;
    if (failure) {
      const { error_code: code, reason } = failure;
      light('verdict', 'bad', ['sdk', 'braze'], `refused: ${code}`);
      verdict('bad', `refused at ${clock()}: ${code} ${reason ?? ''}`);
      story.refused(code, reason ?? '', sent);
      state('warn', `Refused: Braze takes no event of ${named()} (${code} ${reason ?? ''}).`);
    } else if (status >= 200 && status < 300) {
      light('verdict', 'ok', ['sdk', 'braze'], 'accepted');
      dim('edge-failure');
      if (signature) verdict('good', `accepted at ${clock()}`);
      story.accepted(sent);
      if (user && !story.isOpen) state('ok', `Accepted: Braze takes the events of ${named()}.`);
    } else {
      light('verdict', 'bad', ['sdk', 'braze'], 'no answer');
      log(`Braze: ${status === 0 ? 'no answer' : `status ${status}`}`, 'bad');
    }
  }

  function heardToken({ phase, status, took, answer }, label, how) {
    if (phase === 'begin') {
      light('ask', 'accent', ['app', 'countersign'], label);
      return story.asked();
    }
    const isToken = status === 200 && Boolean(answer?.token);
    light('token', isToken ? 'ok' : 'bad', ['app', 'countersign'], isToken ? 'new token' : 'no token');
    story.answered(took, isToken, how);
    if (isToken) {
      token(answer.token);
      log(`${how} in ${Math.round(took)} ms; the token is signed by key ${brief(kid())}`);
    } else {
      log(`${label}: no token (${status === 0 ? 'no answer' : `status ${status}`}) after ${Math.round(took)} ms`, 'bad');
    }
  }

  const post = async (path, body) => {
    const answer = await fetch(path, { method: 'POST', body: JSON.stringify(body) });
    const said = await answer.json();
    if (!answer.ok) throw new Error(readable(said.error));
    return said;
  };

  const initialize = () => {
    braze.initialize(config.sdk_api_key, { baseUrl: config.sandbox, enableSdkAuthentication: true, noCookies: true });
    // A logout drops the SDK's subscriptions.
    braze.subscribeToSdkAuthenticationFailures(({ errorCode, reason }) => {
      light('failure', 'bad', ['sdk', 'app']);
      log(`the SDK reports a failure: ${errorCode} ${reason ?? ''}`, 'bad');
    });
  };
  initialize();

  const auth = connectBrazeAuth(braze, {
    initialize,
    app: config.app,
    endpoint: config.service,
    login: () => post('/demo/login', { user_id: user }),
    onReloginNeeded: () => {
      log('the client says: this user must log in again', 'bad');
      state('bad', `Stopped: ${named()} must log in again.`);
    },
  });

  const send = (times) => {
    for (let at = 0; at < times; at += 1) {
      events += 1;
      braze.logCustomEvent('clicked', { times: events });
    }
    braze.requestImmediateDataFlush();
    light('event', 'accent', ['app', 'sdk']);
  };
  const act = (body) => post('/demo/act', body);
  const who = () => user ?? 'nobody';
  /** The user in a sentence: a long id would move what is below. */
  const named = (id = user) => (id === null ? 'this user' : id.length > 24 ? `${id.slice(0, 23)}…` : id);
  const present = () => (user ? `The token is signed by ${brief(kid())}` : 'Nobody holds a token');

  /** Work of each button; each returns what it did, and what it did not do yet. */
  const acts = {
    event: () => {
      send(1);
      return `Event ${events} is with the SDK.`;
    },
    expire: async () => {
      await act({ do: 'expire' });
      send(3);
      return user ? 'Every token until now counts as expired. The 3 events just sent carry one: watch the story.' : 'Every token until now counts as expired; nobody holds one.';
    },
    rotate: async () => {
      const key = await act({ do: 'rotate' });
      return `Braze has key ${brief(key.kid)}, and it signs. ${present()}, and stays good; the next has the new key.`;
    },
    rotate_unpublished: async () => {
      const key = await act({ do: 'rotate_unpublished' });
      return `Nothing changes until the next token. ${present()}; the next, by ${brief(key.kid)}, is refused with 27. Expire to get it.`;
    },
    publish: async () => {
      const key = await act({ do: 'publish' });
      return `Braze has key ${brief(key.kid)}. A refused token is replaced at the client's next try: seconds at first, 5 min at most.`;
    },
    cut: async () => {
      await act({ do: 'cut', cut: true });
      return `Countersign answers no page. ${present()}; Braze takes it until it expires.`;
    },
    mend: async () => {
      await act({ do: 'cut', cut: false });
      return 'Countersign answers. The client tries by itself, later after each failure: 5 min at most.';
    },
  };

  // One after the other: a key is published only once it signs.
  let turn = Promise.resolve();
  const press = async (name, title) => {
    try {
      effect(name, await acts[name]());
      if (['rotate', 'publish'].includes(name)) light('key', 'ok', ['countersign', 'braze']);
      log(`${title}: done`);
    } catch (error) {
      effect(name, `Failed: ${error.message}`, 'bad');
      log(`${title}: ${error.message}`, 'bad');
    }
  };
  for (const button of document.querySelectorAll('[data-act]')) {
    button.onclick = () => { turn = turn.then(() => press(button.dataset.act, button.textContent.toLowerCase())); };
  }

  const session = async (title, work) => {
    write('login-error', '');
    try {
      await work();
      write('who', who());
      find('app').dataset.session = user ? 'open' : 'none';
      log(`${title}: done`);
    } catch (error) {
      const why = readable(error.detail ?? error.message);
      write('login-error', `${title}: ${why}`);
      log(`${title}: ${why}`, 'bad');
    }
  };
  find('login').onsubmit = (submitted) => {
    submitted.preventDefault();
    const before = user;
    user = new FormData(submitted.target).get('user');
    const wanted = user;
    session(`login of ${named(wanted)}`, async () => {
      try {
        await auth.login(wanted);
        if (!story.isOpen) state('ok', `Logged in: ${named(wanted)} has a token.`);
      } catch (error) {
        if (user === wanted) user = before;
        throw error;
      }
    });
  };
  find('logout').onclick = () => session('logout', async () => {
    await auth.logout();
    user = null;
    token(null);
    dim('edge-failure', 'edge-verdict', 'edge-token');
    state('idle', 'Logged out: the session is over, and nobody uses the app.');
  });
}

/** Returns the sentence of a problem document, or the text as it is. */
function readable(text) {
  try {
    const problem = JSON.parse(text);
    return problem.detail ?? problem.title ?? text;
  } catch {
    return text;
  }
}
