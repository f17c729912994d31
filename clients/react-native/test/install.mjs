import { checkInstallation } from "../../core/test/package.mjs";

checkInstallation(new URL("..", import.meta.url), "braze-react-native");
