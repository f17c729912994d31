// What users of CommonJS write: compiled, not run.
import countersign = require("@countersign/backend");

const client: countersign.Countersign = new countersign.Countersign({ url: "https://auth.example.com", apiKey: "key" });
export const session: Promise<countersign.Session> = client.generate("web", "u-1");
