// What Pilot's cards use of Home Assistant's front end, and what Pilot sends them.

export interface Locale {
  language: string;
  time_format: string;
  time_zone: string;
  first_weekday: string;
}

export interface Area {
  area_id: string;
  name: string;
  icon: string | null;
}

export type Localize = (key: string, values?: Record<string, string | number>) => string;

export interface HomeAssistant {
  areas: Record<string, Area>;
  config: { time_zone: string };
  connection: {
    subscribeMessage<T>(
      callback: (message: T) => void,
      message: { type: string },
    ): Promise<() => Promise<void>>;
  };
  entities: Record<string, { platform?: string; device_id?: string; translation_key?: string }>;
  language: string;
  locale: Locale;
  localize: Localize;
  themes?: { darkMode: boolean };
  user?: { is_admin: boolean };
  callService(
    domain: string,
    service: string,
    data: object,
    target?: undefined,
    notifyOnError?: boolean,
  ): Promise<unknown>;
  loadBackendTranslation(category: string, integration: string): Promise<Localize>;
}

export interface RawPlacement {
  device_id: string;
  area_id: string;
  start: string;
  end: string | null;
}

/** What `pilot/placements/subscribe` sends. */
export interface Message {
  devices: { device_id: string; name: string; removed: boolean }[];
  rooms: { area_id: string; name: string; removed: boolean }[];
  placements: RawPlacement[];
}

export interface Config {
  type: string;
  title?: string;
  period?: import("./scale").Period;
  areas?: string[];
  devices?: string[];
}

declare global {
  interface Window {
    customCards?: object[];
  }

  namespace Intl {
    interface Locale {
      weekInfo?: { firstDay: number };
      getWeekInfo?(): { firstDay: number };
    }
  }
}
