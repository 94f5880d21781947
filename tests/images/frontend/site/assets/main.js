// The two addresses are replaced when the container starts, as in the real frontend.
const BASE = "https://codecov.io";
const API = "https://api.codecov.io";
document.getElementById("base").textContent = BASE;
document.getElementById("api").textContent = API;
fetch(`${API}/api_health/`)
  .then((answer) => answer.text())
  .then((text) => { document.getElementById("health").textContent = text; })
  .catch((error) => { document.getElementById("health").textContent = `unreachable: ${error}`; });
