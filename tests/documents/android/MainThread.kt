import java.util.concurrent.Executors
import kotlin.coroutines.CoroutineContext
import kotlinx.coroutines.InternalCoroutinesApi
import kotlinx.coroutines.MainCoroutineDispatcher
import kotlinx.coroutines.Runnable
import kotlinx.coroutines.internal.MainDispatcherFactory

/** Android's main thread. */
@OptIn(InternalCoroutinesApi::class)
class MainThread : MainDispatcherFactory {
    override val loadPriority = 0
    override fun createDispatcher(allFactories: List<MainDispatcherFactory>) = object : MainCoroutineDispatcher() {
        private val thread = Executors.newSingleThreadExecutor { work -> Thread(work, "main thread").apply { isDaemon = true } }
        override val immediate get() = this
        override fun dispatch(context: CoroutineContext, block: Runnable) = thread.execute(block)
    }
}
