// Runs the Android guide's class: Main ENDPOINT LOGIN EVENT… prints each call of the SDK and each call back, one a line.
//
// LOGIN: the URL of the app's backend, or the credentials that the app gives in turn, separated by commas; an empty one is
// none, and `!` an exception.
// Events: login, resume (a new process), failure (of the token that the SDK has), logout, wait (until a call is made).

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

/** As an app asks its own backend. */
suspend fun backendSession(url: String): JSONObject = withContext(Dispatchers.IO) {
    val connection = URL(url).openConnection() as HttpURLConnection
    connection.requestMethod = "POST"
    connection.connectTimeout = 10_000
    connection.readTimeout = 10_000
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
    fun connect() =
        if ("://" in login) CountersignAuth(context, endpoint, "web", login = { backendSession(login) }, onReloginNeeded = { println("relogin") })
        else CountersignAuth(context, endpoint, "web", ::credential, onReloginNeeded = { println("relogin") })
    var auth = connect()
    var token: String? = null
    for (event in arguments.drop(2)) {
        val braze = Braze.getInstance(context)
        when (event) {
            "login" -> runCatching { auth.login("42") }.onFailure { println("login failed: ${it.message}") }
            "logout" -> auth.logout()
            "failure" -> braze.subscriber.trigger(BrazeSdkAuthenticationErrorEvent(22, "EXPIRED", "42", token))
            "resume" -> {
                context = Context(folder)
                auth = connect()
            }
        }
        var call = braze.calls.poll(if (event == "wait") 20 else 2, TimeUnit.SECONDS)
        while (call != null) {
            if (call[0] != "flush") token = call.last()
            println(call.joinToString(" "))
            call = braze.calls.poll(100, TimeUnit.MILLISECONDS)
        }
        println("saved: ${File(folder, "countersign").exists()}")
    }
    // Nothing of the session is readable in the folder.
    folder.listFiles()!!.forEach { file -> check("csr1_" !in file.readText(Charsets.ISO_8859_1)) { "$file is not encrypted" } }
    kotlin.system.exitProcess(0)
}
