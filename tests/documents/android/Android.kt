// Stand-ins for what the Android guide calls of Android, with the same signatures; JSON is Android's own (libandroid-json).

package android.content

import java.io.File

/** One for each app that the test runs. */
open class Context(folder: File) {
    val noBackupFilesDir: File = folder
}
