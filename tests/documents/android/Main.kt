// Runs the Android guide's class: Main ENDPOINT LOGIN DEADLINE EVENT… prints each call of the SDK and each call back, one a line.
//
// LOGIN: the URL of the app's backend, or the credentials that the app gives in turn, separated by commas; an empty one is
// none, and `!` an exception. DEADLINE: of a logout, in ms.
// Events: login, logout (each with & behind it: not waited for), resume (another process, but in this one), failure (of the token
// that the SDK has), burst (four, without a token), shows (twenty), online, push=… (Braze's answer to an unregistration), expire (the token
// that the SDK has), until:… (a line that begins so has been printed), saved:… (the file has these members), kill.

import android.content.Context
import android.security.keystore.AndroidKeyStore
import com.braze.Braze
import java.io.File
import java.net.HttpURLConnection
import java.net.URL
import java.security.Security
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.*
import org.json.JSONObject

/** As an app asks its own backend. */
suspend fun backendSession(url: String): JSONObject = withContext(Dispatchers.IO) {
    val connection = URL(url).openConnection() as HttpURLConnection
    connection.requestMethod = "POST"
    connection.connectTimeout = 10_000
    connection.readTimeout = 10_000
    connection.doOutput = true
    connection.outputStream.use { it.write("{}".toByteArray()) }
    val stream = if (connection.responseCode < 400) connection.inputStream else connection.errorStream
    JSONObject(stream.bufferedReader().readText())
}

class Process(endpoint: String, login: String, deadline: Long, private val folder: File) {
    val context = Context(folder)
    val braze get() = Braze.getInstance(context)
    private val credentials = login.split(",").toMutableList()
    val auth: CountersignAuth

    init {
        Braze.isSaved = { token -> SessionFile(context).read()?.optJSONObject("session")?.optString("token") == token }
        val relogin: (String) -> Unit = { Braze.calls.put("relogin $it") }
        val initialize = { Braze.calls.put("initialize") }
        auth = if ("://" in login)
            CountersignAuth(context, endpoint, "web", null, { backendSession(login) }, relogin, initialize, "43.0.0", deadline)
        else CountersignAuth(context, endpoint, "web", ::credential, null, relogin, initialize, "43.0.0", deadline)
    }

    private suspend fun credential(refused: String?): String? {
        if (credentials.isEmpty()) return refused
        return credentials.removeAt(0).also { check(it != "!") { "no network" } }
    }

    fun saved() = SessionFile(context).read()?.keys()?.asSequence()?.sorted()?.joinToString(",") ?: "nothing"

    suspend fun perform(event: String) {
        when (event) {
            "login" -> runCatching { auth.login("42") }
                .onSuccess { Braze.calls.put(if (it) "logged in" else "overtaken") }
                .onFailure { Braze.calls.put("login failed: ${it.message}") }
            "logout" -> Braze.calls.put("logged out: lost ${auth.logout().lost}")
            "failure" -> braze.fail(Braze.store(context).readText())
            "burst" -> repeat(4) { braze.fail(null) }
            "shows" -> repeat(20) { auth.shown() }
            "online" -> auth.online()
            "expire" -> Braze.expired += Braze.store(context).readText()
            "kill" -> end()
            else -> error("no such event: $event")
        }
    }
}

/** Milliseconds that the test waits for what should come. */
val patience = System.getProperty("patience").toLong()

/** As Android ends a process: nothing else is done. */
fun end() {
    System.out.flush()
    Runtime.getRuntime().halt(0)
}

/** Prints what has been recorded; returns whether a line begins with these words. */
fun drain(words: String? = null): Boolean {
    val end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(patience)
    while (true) {
        val wait = if (words == null) 0 else end - System.nanoTime()
        val call = Braze.calls.poll(wait, TimeUnit.NANOSECONDS) ?: return false
        println(call)
        if (words != null && call.startsWith(words)) return true
    }
}

fun main(arguments: Array<String>) = runBlocking<Unit> {
    Security.addProvider(AndroidKeyStore())
    val (endpoint, login, deadline) = arguments
    val folder = File(System.getProperty("folder"))
    fun start() = Process(endpoint, login, deadline.toLong(), folder)
    var process = start()
    val events = arguments.drop(3)
    for ((event, next) in events.zip(events.drop(1) + "")) {
        val words = event.substringAfter(":")
        when {
            event == "resume" -> process = start()
            event.startsWith("push=") -> Braze.pushAnswer = event.substringAfter("=")
            // Begun now, in this order, and ended whenever it ends.
            event.endsWith("&") -> launch(start = CoroutineStart.UNDISPATCHED) { process.perform(event.dropLast(1)) }
            event.startsWith("until:") -> withContext(Dispatchers.IO) { if (!drain(words)) println("no $words") }
            event.startsWith("saved:") -> withTimeoutOrNull(patience) { while (process.saved() != words) delay(20) }
            else -> process.perform(event)
        }
        // A line that is waited for may be here already; what comes after it is left to the next event.
        if (listOf(event, next).none { it.startsWith("until:") }) drain()
    }
    drain()
    println("saved: ${process.saved()}")
    // Nothing of the session is readable in the app's file.
    val text = File(folder, "countersign").takeIf { it.exists() }?.readText(Charsets.ISO_8859_1).orEmpty()
    check("csr1_" !in text && "session" !in text) { "not encrypted" }
    end()
}
