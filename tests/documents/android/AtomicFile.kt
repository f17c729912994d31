package android.util

import java.io.File
import java.io.FileOutputStream

/** Android's: what is being written is another file, which replaces the first one at the end. */
class AtomicFile(private val file: File) {
    private val next = File("$file.new")
    fun readFully(): ByteArray = file.readBytes()
    fun startWrite() = FileOutputStream(next)
    fun finishWrite(stream: FileOutputStream) {
        stream.fd.sync()
        stream.close()
        check(next.renameTo(file))
    }
    fun failWrite(stream: FileOutputStream) {
        stream.close()
        next.delete()
    }
    fun delete() {
        file.delete()
        next.delete()
    }
}
