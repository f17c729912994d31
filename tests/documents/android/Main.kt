// Runs the Android guide's class: Main ENDPOINT LOGIN EVENT… prints each call of the SDK and each call back, one a line.
//
// LOGIN: the URL of the app's backend, or the credentials that the app gives in turn, separated by commas; an empty one is
// none, and `!` an exception.
// Events: login, resume (a new process), failure (of the token that the SDK has, until something is done about it), ignored (a
// failure about which nothing is done), logout.

import android.content.Context
import android.security.keystore.AndroidKeyStore
import com.braze.Braze
import com.braze.events.BrazeSdkAuthenticationErrorEvent
import java.io.File
import java.net.HttpURLConnection
import java.net.URL
import java.security.Security
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import kotlin.coroutines.CoroutineContext
import kotlinx.coroutines.*
import kotlinx.coroutines.internal.MainDispatcherFactory
import org.json.JSONObject

/** The main thread. */
@OptIn(InternalCoroutinesApi::class)
class MainThread : MainDispatcherFactory {
    override val loadPriority = 0
    override fun createDispatcher(allFactories: List<MainDispatcherFactory>) = object : MainCoroutineDispatcher() {
        private val thread = Executors.newSingleThreadExecutor { work -> Thread(work, "main thread").apply { isDaemon = true } }
        override val immediate get() = this
        override fun dispatch(context: CoroutineContext, block: Runnable) = thread.execute(block)
    }
}

/** Milliseconds for what is expected, also on a machine that has other work; and for what is not expected. */
const val PATIENCE = 60_000L
const val MOMENT = 2_000L

/** As an app asks its own backend. */
suspend fun backendSession(url: String): JSONObject = withContext(Dispatchers.IO) {
    val connection = URL(url).openConnection() as HttpURLConnection
    connection.requestMethod = "POST"
    connection.connectTimeout = PATIENCE.toInt()
    connection.readTimeout = PATIENCE.toInt()
    val stream = if (connection.responseCode < 400) connection.inputStream else connection.errorStream
    JSONObject(stream.bufferedReader().readText())
}

fun main(arguments: Array<String>) = runBlocking<Unit> {
    Security.addProvider(AndroidKeyStore())
    val (endpoint, login) = arguments
    val folder = File(System.getProperty("folder"))
    var context = Context(folder)
    val credentials = login.split(",").toMutableList()
    suspend fun credential() = credentials.removeAt(0).also { check(it != "!") { "no network" } }.ifEmpty { null }
    fun relogin() = Braze.getInstance(context).calls.put(listOf("relogin"))
    fun connect() =
        if ("://" in login) CountersignAuth(context, endpoint, "web", login = { backendSession(login) }, onReloginNeeded = ::relogin)
        else CountersignAuth(context, endpoint, "web", ::credential, onReloginNeeded = ::relogin)
    fun isSaved() = File(folder, "countersign").exists()
    var auth = connect()
    var token: String? = null
    for (event in arguments.drop(2)) {
        val braze = Braze.getInstance(context)
        val wasSaved = isSaved()
        when (event) {
            "login" -> runCatching { auth.login("42") }.onFailure { println("login failed: ${it.message}") }
            "logout" -> auth.logout()
            "failure", "ignored" -> braze.subscriber.trigger(BrazeSdkAuthenticationErrorEvent(22, "EXPIRED", "42", token))
            "resume" -> {
                context = Context(folder)
                auth = connect()
            }
        }
        // A failure ends with a call, or with the session; then the app may be told.
        val end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE)
        while (event == "failure" && braze.calls.isEmpty() && isSaved() == wasSaved && System.nanoTime() < end) delay(20)
        var call = braze.calls.poll(MOMENT, TimeUnit.MILLISECONDS)
        while (call != null) {
            if (call[0] in listOf("changeUser", "setSignature")) token = call.last()
            println(call.joinToString(" "))
            // A new token is sent at once.
            call = braze.calls.poll(if (call[0] == "setSignature") PATIENCE else 100, TimeUnit.MILLISECONDS)
        }
        println("saved: ${isSaved()}")
    }
    // Nothing of the session is readable in the folder.
    folder.listFiles()!!.forEach { file -> check("csr1_" !in file.readText(Charsets.ISO_8859_1)) { "$file is not encrypted" } }
    kotlin.system.exitProcess(0)
}
