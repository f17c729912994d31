// The demo's page: the real Web SDK, the client, and buttons.

const config = await (await fetch('/demo/config')).json();
const find = (id) => document.getElementById(id);
find('sandbox').src = config.sandbox;

if (config.missing.length) {
  find('packages').textContent = config.missing.join(', ');
  find('missing').hidden = false;
} else {
  run(await import(config.sdk), await import(config.client));
  // Not earlier: a form that is sent before its script is there would leave the page.
  find('app').hidden = false;
}

function run(braze, { connectBrazeAuth }) {
  let user = null;
  let events = 0;

  const log = (text) => {
    const line = document.createElement('div');
    line.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
    find('log').prepend(line);
  };
  const post = async (path, body) => {
    const answer = await fetch(path, { method: 'POST', body: JSON.stringify(body) });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error);
    return said;
  };

  braze.initialize(config.sdk_api_key, { baseUrl: config.sandbox, enableSdkAuthentication: true, noCookies: true });
  braze.subscribeToSdkAuthenticationFailures((failure) => log(`the SDK reports a failure: ${failure.errorCode} ${failure.reason ?? ''}`));

  const auth = connectBrazeAuth(braze, {
    app: config.app,
    endpoint: config.service,
    login: () => post('/demo/login', { user_id: user }),
    onReloginNeeded: () => log('the client says: this user must log in again'),
  });

  const acts = {
    event: () => { events += 1; braze.logCustomEvent('clicked', { times: events }); braze.requestImmediateDataFlush(); log(`event ${events} sent`); },
    expire: async () => {
      await post('/demo/act', { do: 'expire' });
      acts.event();
    },
    cut: () => post('/demo/act', { do: 'cut', cut: true }),
    mend: () => post('/demo/act', { do: 'cut', cut: false }),
  };

  async function perform(name, work) {
    try {
      await work();
      log(`${name}: done`);
    } catch (error) {
      log(`${name}: ${error.message}`);
    }
  }

  for (const button of document.querySelectorAll('[data-act]')) {
    const name = button.dataset.act;
    const work = acts[name] ?? (() => post('/demo/act', { do: name }));
    button.onclick = () => perform(button.textContent.toLowerCase(), work);
  }
  find('login').onsubmit = (submitted) => {
    submitted.preventDefault();
    user = new FormData(submitted.target).get('user');
    perform(`login of ${user}`, async () => { await auth.login(user); find('who').textContent = user; });
  };
  find('logout').onclick = () => perform('logout', async () => { await auth.logout(); user = null; find('who').textContent = 'nobody'; });
}
