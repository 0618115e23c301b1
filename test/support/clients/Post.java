import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.io.ByteArrayInputStream;

/** Posts five bodies over one default client, the last one as a stream of unknown length. */
public class Post {
  public static void main(String[] args) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    for (int n = 0; n < 5; n++) {
      byte[] body = ("{\"java\":" + n + ".00}").getBytes("UTF-8");
      HttpRequest.BodyPublisher publisher =
          n < 4
              ? BodyPublishers.ofByteArray(body)
              : BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
      HttpRequest request = HttpRequest.newBuilder(URI.create(args[0])).POST(publisher).build();
      int status = client.send(request, BodyHandlers.ofString()).statusCode();
      if (status != 200) throw new IllegalStateException("Status " + status);
    }
  }
}
