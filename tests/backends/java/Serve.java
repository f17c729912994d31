import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** Runs the example's route, for a user who is logged in. Prints its port. */
final class Serve {
    private Serve() {}

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        Route.add(server, exchange -> "42");
        server.start();
        System.out.println(server.getAddress().getPort());
    }
}
