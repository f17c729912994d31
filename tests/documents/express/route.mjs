// Runs the route of a Node block as an Express app would: route.mjs express4|express5 FILE. Prints its port.

import { readFile } from "node:fs/promises";

const [version, file] = process.argv.slice(2);
const { default: express } = await import(version);
const app = express();
app.use(express.json());
// The user's id is a number here, as in most databases.
const requireLogin = (request, _response, next) => {
  request.user = { id: 42 };
  next();
};
new Function("app", "requireLogin", "COUNTERSIGN", await readFile(file, "utf8"))(app, requireLogin, process.env.COUNTERSIGN);
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
