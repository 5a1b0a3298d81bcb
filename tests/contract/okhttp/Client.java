import java.util.concurrent.CountDownLatch;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.WebSocket;
import okhttp3.WebSocketListener;

/** A client as the Android app is one: it handles text, a failure and a close that it began itself; prints each, one a line. */
public final class Client {
  public static void main(String[] arguments) throws InterruptedException {
    CountDownLatch ended = new CountDownLatch(1);
    OkHttpClient client = new OkHttpClient();
    WebSocketListener listener =
        new WebSocketListener() {
          @Override
          public void onMessage(WebSocket socket, String text) {
            say("text " + text);
          }

          @Override
          public void onClosed(WebSocket socket, int code, String reason) {
            say("closed " + code);
            ended.countDown();
          }

          @Override
          public void onFailure(WebSocket socket, Throwable failure, Response response) {
            say("failure " + failure.getClass().getSimpleName());
            ended.countDown();
          }
        };
    WebSocket socket = client.newWebSocket(new Request.Builder().url(arguments[0]).build(), listener);
    for (int i = 1; i < arguments.length; i++) {
      socket.send(arguments[i]);
    }
    ended.await();
    client.dispatcher().executorService().shutdown();
  }

  private static synchronized void say(String line) {
    System.out.println(line);
    System.out.flush();
  }
}
