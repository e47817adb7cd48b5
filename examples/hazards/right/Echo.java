import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/**
 * A right echo server in Java: a thread for each client.
 *
 * <pre>java Echo.java [port]        prints the address that it listens on, and serves</pre>
 *
 * <p>It copies bytes. Readers and lines would change what is no text, and wait for a newline.
 * (From Java 21 on, {@code Thread.startVirtualThread} gives threads that cost less.)
 */
public final class Echo {
    private Echo() {}

    private static void echo(Socket client) {
        try (client) {
            client.getInputStream().transferTo(client.getOutputStream());
        } catch (IOException gone) {
            // The client has gone.
        }
    }

    private static void serveNext(ServerSocket listener) throws IOException {
        Socket client = listener.accept();
        try {
            new Thread(() -> echo(client)).start();
        } catch (OutOfMemoryError noThread) { // one client's loss
            client.close();
            System.err.println(noThread.getMessage());
        }
    }

    /** Serves until it is ended by a signal. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        int port = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 0;
        InetAddress loopback = InetAddress.getLoopbackAddress();
        try (ServerSocket listener = new ServerSocket(port, 128, loopback)) { // with SO_REUSEADDR
            System.out.println("127.0.0.1:" + listener.getLocalPort());
            while (true) {
                try {
                    serveNext(listener);
                } catch (IOException error) { // short of something: neither spin nor end
                    System.err.println("accept: " + error.getMessage());
                    Thread.sleep(100);
                }
            }
        }
    }
}
