// A route that gives the logged-in user's app its token: Express 4 or 5.
import { Countersign } from "@countersign/backend";

const countersign = new Countersign({ url: process.env.COUNTERSIGN, apiKey: process.env.COUNTERSIGN_API_KEY });

// `requireLogin` is yours: it takes the user from your session.
export function addRoute(app, requireLogin) {
  app.post("/session/braze", requireLogin, async (request, response) => {
    const { status, headers, body, error } = await countersign.answer("web", String(request.user.id));
    if (error) console.error(error.message);
    response.status(status).set(headers).json(body);
  });
}
